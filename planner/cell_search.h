// SPDX-License-Identifier: Apache-2.0
// Rows and columns of one head group onto the R ranks of a ring, searched on the R x R cells
// themselves: what costs time is the busiest cell of every ring step, which marginals do not see.
#pragma once

#include <cstdint>
#include <vector>

#include "planner/mask_counts.h"

namespace dbsp::planner {

/// Ring index of every row and of every column.
struct RingOwners {
  std::vector<int> row;  ///< [rows]
  std::vector<int> col;  ///< [cols]
  bool operator==(const RingOwners&) const = default;
};

struct CellSearchOptions {
  /// What a row or column away from home costs, in kept blocks of the barrier time.
  double move_price = 0;
  /// Rows (and columns) a rank may hold above ceil(n / R); as many it may hold below floor(n / R).
  int extra_items = 2;
  /// Changes that may be tried in one cooling; where rho stays above 1.003 there are two more, of
  /// two and three times as many. None are tried once rho is `good_enough`.
  std::int64_t trials = 240000;
  double good_enough = 1.001;
};

/// sum over ring steps t of max over i of c[i][(i + t) mod R], c being the kept blocks of rows with
/// owner i and columns with owner j in all masks together.
/// shape    masks: the group's distinct masks with the heads of the group that share each
/// requires owners in [0, ring)
[[nodiscard]] std::int64_t RingBarrier(const std::vector<DistinctMask>& masks,
                                       const RingOwners& owners,
                                       int ring);

/// Owners no worse than `start` in RingBarrier + move_price * (items away from home): annealing by
/// swaps and moves, rows and columns by turns, the best state seen being returned. The seed is
/// fixed: the same input gives the same owners.
/// shape    home: where rows and columns lie outside attention
/// requires owners of `start` and `home` in [0, ring), ring >= 1
[[nodiscard]] RingOwners SearchCells(const std::vector<DistinctMask>& masks,
                                     const RingOwners& home,
                                     const RingOwners& start,
                                     int ring,
                                     const CellSearchOptions& options);

}  // namespace dbsp::planner
