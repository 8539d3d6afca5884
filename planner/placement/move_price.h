// SPDX-License-Identifier: Apache-2.0
// Prices for the search of family balanced, from a cost model.
#pragma once

#include "core/block_mask.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/timeline/costs.h"

namespace dbsp::planner {

class LayerCounts;

/// Cost of moving one row (Q there, O back) or one column (K and V there) of one head, in active
/// blocks: the number of blocks that a rank computes in the time that the move adds to the
/// exchanges of the busiest rank. The time of a block is that of attention at an even share of the
/// layer, fixed costs included. The exchange time is the slope of an all-to-all at an even share of
/// Q, K, V and O. Copies cost the same wherever a block goes.
/// counts   of the masks, if the caller has them
/// returns  PartitionOptions::move_price; 0 if no block is active or attention costs nothing
/// errors   those of the cost model
[[nodiscard]] double MovePrice(const AttentionShape& shape,
                               const LayerMasks& masks,
                               const Strategy& strategy,
                               int ranks,
                               DType dtype,
                               const Costs& costs,
                               const LayerCounts* counts = nullptr);

/// Cost of a (head, row) with an active block beside its blocks, in active blocks: the ratio of the
/// slopes of attention time in rows and in blocks, each over an increase by an eighth from an even
/// share of the layer.
/// counts   of the masks, if the caller has them
/// returns  PartitionOptions::row_price; 0 if no block is active or blocks cost nothing
/// errors   those of the cost model
[[nodiscard]] double RowPrice(const AttentionShape& shape,
                              const LayerMasks& masks,
                              const Strategy& strategy,
                              int ranks,
                              const Costs& costs,
                              const LayerCounts* counts = nullptr);

}  // namespace dbsp::planner
