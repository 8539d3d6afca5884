// SPDX-License-Identifier: Apache-2.0
// Which heads stay whole and which fill ranks up, so that the rank with most traffic has little:
// the coarse half of family `placed`, on the heads' loads alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Rows of `head` with about `load` active blocks go to `rank`.
struct HeadShare {
  int head = 0;
  int rank = 0;
  std::int64_t load = 0;
  bool operator==(const HeadShare&) const = default;
};

struct HeadFill {
  /// [heads] rank of a whole head; of a split one the rank that has most of it; 0 of one at home.
  std::vector<int> owner;
  /// The other ranks' parts of split heads.
  std::vector<HeadShare> shares;
  /// Most that a rank receives by the model below; 1 is Q of all rows of one head.
  double busiest = 0;
};

struct HeadFillOptions {
  double limit = 0;  ///< load of a rank, active blocks; at least the mean
  double columns = 1;  ///< key blocks, times the load of an active block
  int scans = 0;  ///< placements looked at in the first run, half of those of a later one
  int runs = 1;  ///< at most; each ends elsewhere
  double good_enough = 0;  ///< a run ends where no rank receives more; 1 is a head's rows
  std::span<const double> needs =
      {};  ///< NeedsOf the masks (planner/placement/head_needs.h), or none
  /// Heads that are not placed here, as every row of them stays at home, and their load on every
  /// rank; none, or shape [heads] and [ranks].
  std::vector<bool> at_home = {};
  std::vector<double> home_load = {};
};

/// Whole heads on ranks that they do not fill above the limit; the heads left fill the ranks up one
/// after the other, both in an order of their own (McNaughton 1959). Moves are exchanges of heads
/// (any two, or one for the heaviest that fits, so that a rank is full), of ranks or fillers in
/// their orders, and gifts; most take a head of the busiest rank. A move is kept where the busiest
/// rank gets no more by it, or little more at first (threshold accepting, Dueck and Scheuer 1990).
/// Model    what a rank receives, 1 = one head's rows: of a whole head Q of the rows that are not
///          its own (homes even), and K and V as `needs` says; of a part the rows at home on the
///          rank, then on those after it, and of a small one no more columns than as many random
///          blocks need; O of its own rows that are computed elsewhere
/// shape    totals[heads], owner[heads] to start from
/// done     is given the best that each run saw; no run follows one for which it says true, or that
///          ended as low as split heads go (ReceiveVolumeModel::LeastSplit)
/// requires limit * ranks >= the heads' load, columns, ranks >= 1, a head that is placed here, an
///          owner in [0, ranks) for every head
void SearchHeadFills(std::span<const std::int64_t> totals,
                     std::span<const int> owner,
                     int ranks,
                     const HeadFillOptions& options,
                     const std::function<bool(const HeadFill&)>& done);

}  // namespace dbsp::planner
