// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_files.h"

#include <algorithm>
#include <string_view>

namespace dbsp::planner {
namespace {

constexpr std::string_view kFile = "file=";
constexpr const char* kWhat = "a mask file";

}  // namespace

std::vector<InputPath> MaskFilesOf(const Workload& workload) {
  std::vector<InputPath> files;
  for (const MaskRule& rule : workload.rules) {
    // Other rules keep their tables in the workload, and of the file only its name.
    const auto file = rule.options.find("file");
    if (rule.rule != "array" || file == rule.options.end()) continue;
    files.push_back({kWhat, workload.directory / file->second});
  }
  return files;
}

std::vector<InputPath> MaskFilesOf(const std::string& flag) {
  std::vector<InputPath> files;
  const std::size_t colon = flag.find(':');
  std::string_view rest = flag;
  rest.remove_prefix(colon == std::string::npos ? flag.size() : colon + 1);
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    if (item.starts_with(kFile)) files.push_back({kWhat, item.substr(kFile.size())});
  }
  return files;
}

}  // namespace dbsp::planner
