// SPDX-License-Identifier: Apache-2.0
// Partitions whose heads are divided into chunks.
#pragma once

#include <functional>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

class LayerCounts;

/// Largest useful number of chunks: the heads of a rank if heads stay whole, half of all heads in
/// family placed.
[[nodiscard]] int MostChunks(Family family, int ranks, int heads);

/// Places the heads of a layer, without chunks.
using PlaceHeadsOf = std::function<Partition(const AttentionShape&, const LayerMasks&)>;

/// The partition of `family` with its heads in `chunks` chunks. ulysses and usp keep their
/// contiguous heads; the heads of every rank are divided into `chunks` runs. Other families divide
/// the heads first, such that chunks have equal loads, and then place every chunk separately. Each
/// chunk is balanced because all ranks wait for its exchange.
/// counts   of the masks, if the caller has them
/// place    places all heads, or the heads of one chunk, on all ranks
/// requires chunks >= 2
/// errors   Error{kInvalidArgument} if ring_degree > 1 or chunks > MostChunks()
[[nodiscard]] Partition MakeChunked(Family family,
                                    const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    int ranks,
                                    int ring_degree,
                                    int chunks,
                                    const LayerCounts* counts,
                                    const PlaceHeadsOf& place);

}  // namespace dbsp::planner
