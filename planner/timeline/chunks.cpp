// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/chunks.h"

#include <algorithm>
#include <utility>

namespace dbsp::planner {

int ChunksOf(const Partition& partition) {
  const auto& chunk = partition.chunk_of_head;
  return chunk.empty() ? 1 : 1 + *std::max_element(chunk.begin(), chunk.end());
}

ChunkLayer ChunkOf(const AttentionShape& shape,
                   const LayerMasks& masks,
                   const Partition& partition,
                   int chunk) {
  ChunkLayer layer{shape, {}, partition, {}};
  std::vector<int> number(partition.heads, -1);
  for (int h = 0; h < partition.heads; ++h) {
    if (partition.chunk_of_head[h] != chunk) continue;
    number[h] = static_cast<int>(layer.heads.size());
    layer.heads.push_back(h);
    layer.masks.head.push_back(masks.head[h]);
  }
  layer.shape.heads = layer.partition.heads = static_cast<int>(layer.heads.size());
  layer.partition.chunk_of_head.clear();
  for (HeadGroup& group : layer.partition.groups) {
    std::vector<int> heads;
    for (const int head : group.heads) {
      if (number[head] >= 0) {
        heads.push_back(number[head]);
      }
    }
    group.heads = std::move(heads);
  }
  return layer;
}

}  // namespace dbsp::planner
