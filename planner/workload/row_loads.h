// SPDX-License-Identifier: Apache-2.0
// Active blocks of every row of every head, the load that placements balance.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"

namespace dbsp::planner {

/// Active blocks of every row of every head: what a row costs.
struct RowLoads {
  int heads = 0;
  int rows = 0;
  std::vector<std::int32_t> blocks;  ///< [head][row]
  /// Active blocks of each head.
  [[nodiscard]] std::vector<std::int64_t> HeadTotals() const;
};
/// Loads of the masks' rows: their active blocks. With a price of an active row, in blocks, they
/// are in units of 1 / kLoadUnit block and an active row weighs that much more. requires row_price
/// >= 0
[[nodiscard]] RowLoads RowLoadsOf(const LayerMasks& masks, double row_price = 0);
constexpr double kLoadUnit = 16;

/// Loads where only the heads' counts are known: each spread over its rows as evenly as whole
/// blocks allow, which is what the rule `density` expects of its masks' rows with pattern random.
/// requires rows >= 1, counts in [0, rows * 2^31)
[[nodiscard]] RowLoads SpreadLoads(std::span<const std::int64_t> head_counts, int rows);

/// Load of every rank: the sum over its (head, row) pairs. For loads that differ from those the
/// partition was made for (the next step's), this is what the ranks then have to do.
/// requires a partition of the loads' heads and rows
[[nodiscard]] std::vector<std::int64_t> RankLoads(const RowLoads& loads,
                                                  const Partition& partition);

}  // namespace dbsp::planner
