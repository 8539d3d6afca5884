// SPDX-License-Identifier: Apache-2.0
// Search for the owners of the rows and columns of one head group in a ring of R ranks. It works on
// the R x R cells themselves: time follows the busiest cell of every ring step, which sums over
// rows or columns do not show.
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
  /// Cost of a row or column away from home, in active blocks of the barrier time.
  double move_price = 0;
  /// Rows (and columns) that a rank may hold above ceil(n / R), and below floor(n / R).
  int extra_items = 2;
  /// Exchanges of two items that are evaluated from each start; each takes half a nanosecond per
  /// rank of the ring. The search ends once cost / (active blocks / R) is at most `good_enough`.
  std::int64_t scans = 400000;
  double good_enough = 1.001;
};

/// sum over ring steps t of max over i of c[i][(i + t) mod R], where c[i][j] holds the active
/// blocks of rows with owner i and columns with owner j. requires owners in [0, ring)
[[nodiscard]] std::int64_t RingBarrier(const MaskSum& masks, const RingOwners& owners, int ring);

struct FoundOwners {
  RingOwners owners;
  double cost = 0;  ///< RingBarrier + move_price * items away from home
  double mean = 0;  ///< active blocks / ring
  double least = 0;  ///< lower bound on the barrier: the mean, or MaxLoadLowerBound of rows
};

/// Lower bound on the weight of the heaviest of `parts` parts, over all divisions of the items.
/// Some part holds k + 1 of the k * parts + 1 heaviest items, which weigh at least as much as the k
/// + 1 lightest of those. requires weights >= 0, parts >= 1
[[nodiscard]] std::int64_t MaxLoadLowerBound(std::vector<std::int64_t> weights, int parts);

/// Owners with a cost of at most that of `start`. Every part computes its rows with all columns
/// over the ring, so the barrier is at least the heaviest part's rows; the search also ends near
/// MaxLoadLowerBound of the rows. It alternates between rows and columns. For each it first makes
/// exchanges that bring the cells of a step nearer to their mean, then exchanges that lower the
/// barrier (RingAxisPartition). The best owners seen are returned. The seed is fixed: equal input
/// gives equal owners.
/// shape    home: owners outside attention
/// requires owners of `start` and `home` in [0, ring), ring >= 1
[[nodiscard]] FoundOwners SearchCells(const MaskSum& masks,
                                      const RingOwners& home,
                                      const RingOwners& start,
                                      int ring,
                                      const CellSearchOptions& options);

}  // namespace dbsp::planner
