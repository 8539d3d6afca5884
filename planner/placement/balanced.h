// SPDX-License-Identifier: Apache-2.0
// Family `balanced`: U head groups of R ranks, heads by search on their active blocks, and for
// every group its own rows and columns by search on that group's R x R cells. Any U, R; nothing
// need be divisible.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

struct BalancedOptions {
  /// What moving one row or column of one head off its rank costs, in active blocks of a rank's
  /// time (planner/placement/move_price.h). It is shared by the ranks of the ring, as the exchange
  /// is; of U groups only one has the block's own rank, for the others it moves in any case.
  double move_price = 0.01;
  /// Exchanges looked at from each start of a head group's search, CellSearchOptions::scans.
  std::int64_t scans = 400000;
  /// What a row with an active block costs beside its blocks, in blocks
  /// (planner/placement/move_price.h).
  double row_price = 0;
};

/// heads        SearchHeadOwners, rows weighed at their price: at most ceil(heads / U) + 1 in a
///              group
/// rows, cols   SearchCells from home; where that ends above 1.003 of even, from i mod R too, and
///              above 1.005 from db-SP's greedy without reward; the cheapest, the price included. A
///              rank holds at most a sixteenth (one at least) more than ceil(n / R) rows, and
///              columns, unless it does so at home
/// requires ulysses * ring = home.ranks(), both >= 1, masks of the shape
[[nodiscard]] Partition MakeBalanced(const AttentionShape& shape,
                                     const LayerMasks& masks,
                                     int ulysses,
                                     int ring,
                                     const HomeLayout& home,
                                     const BalancedOptions& options = {});

}  // namespace dbsp::planner
