// SPDX-License-Identifier: Apache-2.0
// Partitions whose heads are divided into chunks.
#pragma once

#include <functional>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

/// Most chunks worth trying: no more than the heads of a rank where heads stay whole, half of all
/// heads in family placed.
[[nodiscard]] int MostChunks(Family family, int ranks, int heads);

/// Places the heads of a layer, without chunks.
using PlaceHeadsOf = std::function<Partition(const AttentionShape&, const LayerMasks&)>;

/// The partition of `family` with its heads in `chunks` chunks. ulysses and usp keep their
/// contiguous heads, and every rank's heads are divided into as many runs. Other families divide
/// the heads first, so that chunks are alike in load, and place every chunk by itself: each chunk
/// is balanced, because all ranks wait for its exchange.
/// place    places all heads, or the heads of one chunk, on all ranks
/// requires chunks >= 2
/// errors   Error{kInvalidArgument} for ring_degree > 1, or more chunks than MostChunks()
[[nodiscard]] Partition MakeChunked(Family family,
                                    const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    int ranks,
                                    int ring_degree,
                                    int chunks,
                                    const PlaceHeadsOf& place);

}  // namespace dbsp::planner
