// SPDX-License-Identifier: Apache-2.0
// Heads in chunks: the exchange of one chunk runs under the attention of the chunk before. A chunk
// is a layer of its own with fewer heads, so everything that is built of a layer is built chunk by
// chunk and joined. Only without a ring, whose link is already busy under attention.
#pragma once

#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/families.h"
#include "planner/layer_work.h"
#include "planner/schedule.h"

namespace dbsp::planner {

/// 1 + the largest chunk of a head, 1 without chunks.
[[nodiscard]] int ChunksOf(const Partition& partition);

/// Most chunks worth trying: no more than the heads of a rank where heads stay whole, half of all
/// heads in family placed.
[[nodiscard]] int MostChunks(Family family, int ranks, int heads);

/// One chunk's heads, renumbered in rising order, with their part of the placement.
struct ChunkLayer {
  AttentionShape shape;
  LayerMasks masks;
  Partition partition;
  std::vector<int> heads;  ///< [chunk's heads] their numbers in the whole layer
};
/// requires 0 <= chunk < ChunksOf(partition)
[[nodiscard]] ChunkLayer ChunkOf(const AttentionShape& shape,
                                 const LayerMasks& masks,
                                 const Partition& partition,
                                 int chunk);

/// The partition of `family` with its heads in options.chunks chunks. ulysses keeps its contiguous
/// heads, every rank's in as many runs; other families divide the heads first, so that chunks are
/// alike in load, and place every chunk by itself: each is balanced, as all ranks wait for its
/// exchange.
/// requires options.chunks >= 2
/// errors   Error{kInvalidArgument} for ring_degree > 1, or more chunks than MostChunks()
[[nodiscard]] Partition MakeChunked(Family family,
                                    const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    int ranks,
                                    int ring_degree,
                                    const HomeLayout& home,
                                    const PartitionOptions& options);

/// Amounts of a layer from those of its chunks, in order.
/// shape  rounds before of every chunk, then rounds after of every chunk; attention [chunk][rank]
[[nodiscard]] LayerWork JoinWork(std::vector<LayerWork> chunks);

/// Lists of a layer from those of its chunks; `layers` as ChunkOf() gave them.
[[nodiscard]] Schedule JoinSchedules(std::vector<Schedule> chunks,
                                     const std::vector<ChunkLayer>& layers);

/// The lists of one chunk, heads renumbered as in `layer`: the inverse of JoinSchedules.
/// returns  an empty string, or what in the lists does not belong to the chunk
[[nodiscard]] std::string TakeChunk(const Schedule& schedule,
                                    int chunk,
                                    const std::vector<int>& heads,
                                    Schedule& out);

}  // namespace dbsp::planner
