// SPDX-License-Identifier: Apache-2.0
// Result lines and tables. A line is on disk before the next measurement starts, so that a run that
// is cut off keeps every result that it measured.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"

namespace dbsp::gpu_check {

/// A file with one JSON object per line.
class Results {
 public:
  /// Makes the folder and opens FOLDER/NAME.jsonl for appending.
  /// errors  Error{kIo}
  Results(const std::string& folder, const std::string& name);
  /// Appends one line and waits until it is on disk. Non-finite numbers become null.
  /// errors  Error{kIo}
  void Write(const Json& line);
  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  std::string folder_;
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// Text of a table whose columns are as wide as their widest cell. The first row is the heading.
/// Cells are escaped by TerminalLine().
[[nodiscard]] std::string TableText(std::vector<std::vector<std::string>> rows);

}  // namespace dbsp::gpu_check
