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
  std::vector<int> number(static_cast<std::size_t>(partition.heads), -1);
  for (int h = 0; h < partition.heads; ++h) {
    if (partition.chunk_of_head[static_cast<std::size_t>(h)] != chunk) continue;
    number[static_cast<std::size_t>(h)] = static_cast<int>(layer.heads.size());
    layer.heads.push_back(h);
    layer.masks.head.push_back(masks.head[static_cast<std::size_t>(h)]);
  }
  layer.shape.heads = layer.partition.heads = static_cast<int>(layer.heads.size());
  layer.partition.chunk_of_head.clear();
  for (HeadGroup& group : layer.partition.groups) {
    std::vector<int> heads;
    for (const int head : group.heads) {
      if (number[static_cast<std::size_t>(head)] >= 0) {
        heads.push_back(number[static_cast<std::size_t>(head)]);
      }
    }
    group.heads = std::move(heads);
  }
  return layer;
}

}  // namespace dbsp::planner
