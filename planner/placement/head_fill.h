// SPDX-License-Identifier: Apache-2.0
// Which heads of a layer stay whole and which are split over ranks, and the limits of that choice.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// A part of a split head: rows of `head` with about `load` active blocks are computed on `rank`.
struct HeadShare {
  int head = 0;
  int rank = 0;
  std::int64_t load = 0;
  bool operator==(const HeadShare&) const = default;
};

struct HeadFill {
  /// [heads] the rank of a whole head, the rank with the largest part of a split head, 0 for a head
  /// whose rows all stay at home.
  std::vector<int> owner;
  /// Parts of split heads on the other ranks.
  std::vector<HeadShare> shares;
  /// Volume that the busiest rank receives by ReceiveVolumeModel. 1 is Q of all rows of one head.
  double busiest = 0;
};

struct HeadFillOptions {
  double limit = 0;  ///< largest load of a rank in active blocks; at least the mean load
  double columns = 1;  ///< key blocks, times the load of one active block
  int scans =
      0;  ///< placements that the first run evaluates; each later run evaluates twice as many
  int runs = 1;  ///< largest number of runs; each run ends in a different placement
  /// A run ends once no rank receives more than this volume. 1 is Q of all rows of one head.
  double good_enough = 0;
  /// NeedsOf() the masks (planner/placement/head_needs.h), or empty.
  std::span<const double> needs = {};
  /// [heads] true for a head whose rows all stay at home. The search does not move such heads.
  /// Empty if there is none.
  std::vector<bool> at_home = {};
  /// [ranks] active blocks of the heads in `at_home` on each rank. Empty if there is none.
  std::vector<double> home_load = {};
};

}  // namespace dbsp::planner
