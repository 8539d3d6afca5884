// SPDX-License-Identifier: Apache-2.0
// Names that differ only in numbers: "layers.0", "layers.1"; "0.0", "0.1", "1.0" and so on.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace dbsp {

/// Text with every run of digits replaced by '*', and the runs.
struct Numbered {
  std::string pattern;
  std::vector<std::string> numbers;
};
[[nodiscard]] Numbered SplitNumbers(const std::string& name);

/// The numbers of a name, unless one has more than 9 digits.
[[nodiscard]] std::optional<std::vector<std::int64_t>> NumbersOf(const std::string& name);

/// Sizes of the grid from 0 that the indices of `members` fill, without numbers that all have in
/// common; empty if they fill none.
template <typename Member>
[[nodiscard]] std::vector<std::int64_t> GridOf(
    const std::map<std::vector<std::int64_t>, Member>& members) {
  std::vector<std::set<std::int64_t>> seen(members.begin()->first.size());
  for (const auto& [index, member] : members) {
    for (std::size_t i = 0; i < index.size(); ++i) seen[i].insert(index[i]);
  }
  std::vector<std::int64_t> grid;
  std::size_t cells = 1;
  for (const std::set<std::int64_t>& values : seen) {
    if (values.size() == 1) continue;
    const auto count = static_cast<std::int64_t>(values.size());
    if (*values.begin() != 0 || *values.rbegin() + 1 != count) return {};
    grid.push_back(count);
    cells *= values.size();
  }
  if (cells != members.size()) grid.clear();
  return grid;
}

}  // namespace dbsp
