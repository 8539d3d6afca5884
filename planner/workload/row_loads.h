// SPDX-License-Identifier: Apache-2.0
// Loads of the rows of every head, which placements balance.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "planner/workload/layer_counts.h"

namespace dbsp::planner {

/// Loads of rows: their active blocks, or those plus a price per row (RowLoadsOf).
struct RowLoads {
  int heads = 0;
  int rows = 0;
  std::vector<std::int32_t> blocks;  ///< [head][row]
  [[nodiscard]] std::int32_t At(std::size_t head, std::size_t row) const {
    return blocks[head * static_cast<std::size_t>(rows) + row];
  }
  /// Load of each head.
  [[nodiscard]] std::vector<std::int64_t> HeadTotals() const;
};
/// Loads of the masks' rows: their active blocks. With a price per active row, in blocks, loads are
/// in units of 1 / kLoadUnit block, and an active row weighs its price more. requires row_price >=
/// 0
/// `counts` are those of the masks if the caller has them.
[[nodiscard]] RowLoads RowLoadsOf(const LayerMasks& masks,
                                  double row_price = 0,
                                  const LayerCounts* counts = nullptr);

/// Loads if only the counts of heads are known: each count is spread over the rows as evenly as
/// whole blocks allow. This is the expectation of the rule `density` with pattern random. requires
/// rows >= 1, counts in [0, rows * 2^31)
[[nodiscard]] RowLoads SpreadLoads(std::span<const std::int64_t> head_counts, int rows);

/// Load of every rank: the sum over its (head, row) pairs. The loads may differ from those that the
/// partition was made for, for example at the next step. requires a partition of the loads' heads
/// and rows
[[nodiscard]] std::vector<std::int64_t> RankLoads(const RowLoads& loads,
                                                  const Partition& partition);

}  // namespace dbsp::planner
