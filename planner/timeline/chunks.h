// SPDX-License-Identifier: Apache-2.0
// Heads in chunks: the exchange of one chunk runs under the attention of the chunk before. A chunk
// is a layer of its own with fewer heads, so everything that is built of a layer is built chunk by
// chunk and joined. Only without a ring, whose link is already busy under attention.
#pragma once

#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

/// 1 + the largest chunk of a head, 1 without chunks.
[[nodiscard]] int ChunksOf(const Partition& partition);

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

}  // namespace dbsp::planner
