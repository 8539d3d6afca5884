// SPDX-License-Identifier: Apache-2.0
// Heads in chunks: the exchange of one chunk overlaps the attention of the previous chunk. A chunk
// is treated as a layer with fewer heads. Volumes and schedules are built chunk by chunk and then
// joined. Chunks are used only without a ring, because a ring's link is busy under attention
// already.
#pragma once

#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Number of chunks of a partition; 1 if its heads are not divided.
[[nodiscard]] int ChunksOf(const Partition& partition);

/// The heads of one chunk, numbered from 0 in ascending order, with their part of the placement.
struct ChunkLayer {
  AttentionShape shape;
  LayerMasks masks;
  Partition partition;
  std::vector<int> heads;  ///< [heads of the chunk] number in the whole layer
};
/// requires 0 <= chunk < ChunksOf(partition)
[[nodiscard]] ChunkLayer ChunkOf(const AttentionShape& shape,
                                 const LayerMasks& masks,
                                 const Partition& partition,
                                 int chunk);

}  // namespace dbsp::planner
