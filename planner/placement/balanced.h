// SPDX-License-Identifier: Apache-2.0
// Family `balanced`: U head groups of R ranks. A search over active blocks divides the heads. A
// search over the R x R cells of each group divides its rows and columns. U and R need not divide
// the heads or blocks.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

class LayerCounts;

struct BalancedOptions {
  /// Cost of moving one row or column of one head away from its rank, in active blocks of a rank's
  /// time (planner/placement/move_price.h). The ranks of the ring share this cost, as they share
  /// the exchange. Only one of the U groups contains the block's home rank; for the other groups
  /// the block moves in any case.
  double move_price = 0.01;
  /// Exchanges that the search of a head group evaluates from each start: CellSearchOptions::scans.
  std::int64_t scans = 400000;
  /// Cost of a row with an active block beside its blocks, in blocks
  /// (planner/placement/move_price.h).
  double row_price = 0;
  /// Counts of the masks if the caller has them (planner/workload/layer_counts.h).
  const LayerCounts* counts = nullptr;
};

/// heads        SearchHeadOwners, rows weighed at their price; a group has at most
///              ceil(heads / U) + 1
/// rows, cols   SearchCells from the home owners. If the result is above 1.003 of even, also from i
///              mod R; if it is still above 1.003, also from db-SP's greedy owners without reward.
///              The result with the lowest cost, moves included, is taken. A rank holds at most
///              ceil(n / R) rows plus a sixteenth (at least one), and likewise columns, unless it
///              holds more at home.
/// requires ulysses * ring = home.ranks(), both >= 1, masks of the shape
[[nodiscard]] Partition MakeBalanced(const AttentionShape& shape,
                                     const LayerMasks& masks,
                                     int ulysses,
                                     int ring,
                                     const HomeLayout& home,
                                     const BalancedOptions& options = {});

}  // namespace dbsp::planner
