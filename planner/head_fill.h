// SPDX-License-Identifier: Apache-2.0
// Which heads stay whole and which fill ranks up, so that the rank with most traffic has little:
// the coarse half of family `placed`, on the heads' loads alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Rows of `head` with about `load` kept blocks go to `rank`.
struct HeadShare {
  int head = 0;
  int rank = 0;
  std::int64_t load = 0;
  bool operator==(const HeadShare&) const = default;
};

struct HeadFill {
  /// [heads] rank of a whole head; of a split one the rank that has most of it.
  std::vector<int> owner;
  /// The other ranks' parts of split heads.
  std::vector<HeadShare> shares;
  /// Most that a rank receives by the model below; 1 is Q of all rows of one head.
  double busiest = 0;
};

struct HeadFillOptions {
  double limit = 0;  ///< load of a rank, kept blocks; at least the mean
  int columns = 1;  ///< key blocks
  int scans = 0;  ///< placements looked at in a run
  int runs = 1;  ///< each ends elsewhere
  double good_enough = 0;  ///< a run ends where no rank receives more; 1 is a head's rows
};

/// Whole heads on ranks that they do not fill above the limit; the heads left fill the ranks up one
/// after the other, both in an order of their own (McNaughton 1959), and an exchange or move of
/// heads, or of the orders, is kept where the busiest rank gets no more by it (threshold accepting,
/// Dueck and Scheuer 1990).
/// Model    what a rank receives, 1 = one head's rows: of a whole head 3 (P - 1) / P of Q, K and V;
///          of a part of load x as much K and V as x random blocks of `columns` columns need, and
///          Q of the rows that are not its own (homes even, its own first); O of its own rows that
///          are computed elsewhere
/// shape    totals[heads], owner[heads] to start from
/// returns  the best that each run saw, without those that found none within the limit
/// requires limit > 0, columns, ranks >= 1, an owner in [0, ranks) for every head
[[nodiscard]] std::vector<HeadFill> SearchHeadFills(std::span<const std::int64_t> totals,
                                                    std::span<const int> owner,
                                                    int ranks,
                                                    const HeadFillOptions& options);

}  // namespace dbsp::planner
