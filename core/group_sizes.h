// SPDX-License-Identifier: Apache-2.0
// Numbers of ranks that exchange with each other.
#pragma once

#include <set>

namespace dbsp {

/// Sizes of the groups of a run: cfg degree, ulysses and ring degree divide the ranks, so a group
/// of ranks that exchange has a divisor of them above 1. 6 ranks: 2, 3 and 6.
/// requires ranks >= 1
[[nodiscard]] inline std::set<int> GroupSizes(int ranks) {
  std::set<int> sizes;
  for (int size = 2; size <= ranks; ++size) {
    if (ranks % size == 0) sizes.insert(size);
  }
  return sizes;
}

/// GroupSizes() and 2. Between 2 and all ranks every other count, as placements by load and
/// exchanges by need have them, is interpolated.
[[nodiscard]] inline std::set<int> MeasuredSizes(int ranks) {
  std::set<int> sizes = GroupSizes(ranks);
  if (ranks >= 2) sizes.insert(2);
  return sizes;
}

}  // namespace dbsp
