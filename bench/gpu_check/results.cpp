// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/results.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/terminal_text.h"

namespace dbsp::gpu_check {

Results::Results(const std::string& folder, const std::string& name)
    : folder_(folder), path_(folder + "/" + name + ".jsonl") {
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  file_.reset(std::fopen(path_.c_str(), "a"));
  if (!file_) {
    Fail(ErrorCode::kIo,
         "{}: cannot be written: {}; give another --out",
         path_,
         std::strerror(errno));
  }
}

void Results::Write(const Json& line) {
  const std::string text = DumpJson(line) + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size() &&
                       std::fflush(file_.get()) == 0;
  if (!written) Fail(ErrorCode::kIo, "{}: a line could not be written; is the disk full?", path_);
  (void)fsync(fileno(file_.get()));
}

std::string TableText(std::vector<std::vector<std::string>> rows) {
  std::vector<std::size_t> widths;
  for (auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = TerminalLine(row[i]);
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace dbsp::gpu_check
