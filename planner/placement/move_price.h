// SPDX-License-Identifier: Apache-2.0
// What keeping a block at home is worth, in the unit that `balanced` searches in.
#pragma once

#include "core/block_mask.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/timeline/costs.h"

namespace dbsp::planner {

/// Active blocks that one rank computes in the time that moving one row (Q there, O back) or column
/// (K and V there) of one head adds to the exchanges of the layer's busiest rank. Attention: an
/// even share of the layer, so fixed parts count. Exchange: the slope of an all-to-all at an even
/// share of Q, K, V and O. Copies cost the same wherever a block goes.
/// returns  PartitionOptions::move_price; 0 where nothing is kept or attention costs nothing
/// errors   whatever the costs throw
[[nodiscard]] double MovePrice(const AttentionShape& shape,
                               const LayerMasks& masks,
                               const Strategy& strategy,
                               int ranks,
                               DType dtype,
                               const Costs& costs);

/// Active blocks that cost as much as one (head, row) with an active block does beside its blocks,
/// from the slopes of attention in rows and in blocks at an even share of the layer, each over an
/// eighth more. returns  PartitionOptions::row_price; 0 where nothing is kept or blocks cost
/// nothing errors   whatever the costs throw
[[nodiscard]] double RowPrice(const AttentionShape& shape,
                              const LayerMasks& masks,
                              const Strategy& strategy,
                              int ranks,
                              const Costs& costs);

}  // namespace dbsp::planner
