// SPDX-License-Identifier: Apache-2.0
// Rows and columns of one head group onto the R ranks of a ring, searched on the R x R cells
// themselves: what costs time is the busiest cell of every ring step, which marginals do not see.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/workload/mask_sum.h"

namespace dbsp::planner {

/// Ring index of every row and of every column.
struct RingOwners {
  std::vector<int> row;  ///< [rows]
  std::vector<int> col;  ///< [cols]
  bool operator==(const RingOwners&) const = default;
};

struct CellSearchOptions {
  /// What a row or column away from home costs, in active blocks of the barrier time.
  double move_price = 0;
  /// Rows (and columns) a rank may hold above ceil(n / R); as many it may hold below floor(n / R).
  int extra_items = 2;
  /// Exchanges of two items that may be looked at from each start, half a nanosecond per ring rank
  /// each. None are once cost / (active blocks / R) is `good_enough`.
  std::int64_t scans = 400000;
  double good_enough = 1.001;
};

/// sum over ring steps t of max over i of c[i][(i + t) mod R], c being the active blocks of rows
/// with owner i and columns with owner j. requires owners in [0, ring)
[[nodiscard]] std::int64_t RingBarrier(const MaskSum& masks, const RingOwners& owners, int ring);

struct FoundOwners {
  RingOwners owners;
  double cost = 0;  ///< RingBarrier + move_price * (items away from home)
  double mean = 0;  ///< active blocks / ring
  double least = 0;  ///< no owners have a lower barrier: the mean, or MaxLoadLowerBound of the rows
};

/// Least that the heaviest of `parts` parts weighs, whichever items it has: of the k * parts + 1
/// heaviest items some part has k + 1, which weigh no less than the lightest of those.
/// requires weights >= 0, parts >= 1
[[nodiscard]] std::int64_t MaxLoadLowerBound(std::vector<std::int64_t> weights, int parts);

/// A part meets every column once round the ring, so that the barrier is no less than the heaviest
/// part's rows; the search ends near what MaxLoadLowerBound says of them, too.
/// Owners that cost no more than `start`: rows and columns by turns, each by exchanges that bring
/// the cells of a step nearer to their mean and then by such that lower the barrier
/// (RingAxisPartition); the best seen are returned. The seed is fixed: the same input gives the
/// same owners. shape    home: where rows and columns lie outside attention requires owners of
/// `start` and `home` in [0, ring), ring >= 1
[[nodiscard]] FoundOwners SearchCells(const MaskSum& masks,
                                      const RingOwners& home,
                                      const RingOwners& start,
                                      int ring,
                                      const CellSearchOptions& options);

}  // namespace dbsp::planner
