// SPDX-License-Identifier: Apache-2.0
// Results as they come: one JSON object a line, on disk before the next measurement starts, so that
// being cut off loses nothing that was measured.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace dbsp::gpu_check {

/// One JSON object, members in the order they are added. Non-finite numbers become null.
class JsonLine {
 public:
  JsonLine& Add(const std::string& key, const std::string& value);
  JsonLine& Add(const std::string& key, const char* value) { return Add(key, std::string(value)); }
  JsonLine& Add(const std::string& key, double value);
  JsonLine& Add(const std::string& key, std::int64_t value);
  JsonLine& Add(const std::string& key, int value) { return Add(key, std::int64_t{value}); }
  JsonLine& Add(const std::string& key, bool value);
  JsonLine& Add(const std::string& key, const std::vector<double>& values);
  [[nodiscard]] std::string text() const { return "{" + members_ + "}"; }

 private:
  JsonLine& AddRaw(const std::string& key, const std::string& value);
  std::string members_;
};

/// A file of lines.
class Results {
 public:
  /// Appends to FOLDER/NAME.jsonl; the folder is made.
  /// errors  Error{kIo}
  Results(const std::string& folder, const std::string& name);
  /// Writes the line and waits until it is on disk. errors Error{kIo}
  void Write(const JsonLine& line);
  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::string folder_;
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// uint8 array as a .npy file. errors Error{kIo}
void WriteMask(const std::string& path,
               const std::vector<std::int64_t>& shape,
               const std::vector<std::uint8_t>& values);

/// Rows of text in columns as wide as their widest cell, the first row a heading.
[[nodiscard]] std::string TableText(const std::vector<std::vector<std::string>>& rows);

}  // namespace dbsp::gpu_check
