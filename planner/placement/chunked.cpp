// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/chunked.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"
#include "planner/timeline/chunks.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {
namespace {

/// Heads in falling order of active blocks.
std::vector<int> ByLoad(const LayerMasks& masks) {
  const std::vector<std::int64_t> counts = HeadCounts(masks);
  std::vector<int> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return counts[a] > counts[b]; });
  return order;
}

/// Chunk of every head. Tiers of `tier` heads that are next to each other in load go to the chunks
/// in turn, there and back: chunks get equal loads, and the ranks one head of every tier.
std::vector<int> DivideHeads(const LayerMasks& masks, int chunks, int tier) {
  std::vector<int> chunk(masks.head.size());
  const std::vector<int> order = ByLoad(masks);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const int turn = static_cast<int>(i) / tier;
    const int place = turn % chunks;
    const bool back = turn / chunks % 2 == 1;
    chunk[order[i]] = back ? chunks - 1 - place : place;
  }
  return chunk;
}

/// Every rank's contiguous heads in `chunks` runs.
void ChunkRuns(Partition& partition, int chunks) {
  partition.chunk_of_head.assign(partition.heads, 0);
  for (const HeadGroup& group : partition.groups) {
    const std::size_t heads = group.heads.size();
    for (std::size_t i = 0; i < heads; ++i) {
      // A rank with fewer heads than chunks has them in the first ones.
      const std::size_t run = heads < static_cast<std::size_t>(chunks)
                                  ? i
                                  : i * static_cast<std::size_t>(chunks) / heads;
      partition.chunk_of_head[group.heads[i]] = static_cast<int>(run);
    }
  }
}

/// Adds a chunk's groups: whole heads to the group of their rank, split heads as they are.
void AddGroups(const ChunkLayer& layer, std::vector<HeadGroup>& whole, Partition& into) {
  for (HeadGroup group : layer.partition.groups) {
    for (int& head : group.heads) head = layer.heads[head];
    if (group.ranks.size() > 1) {
      into.groups.push_back(std::move(group));
      continue;
    }
    std::vector<int>& heads = whole[group.ranks.front()].heads;
    heads.insert(heads.end(), group.heads.begin(), group.heads.end());
  }
}

}  // namespace

int MostChunks(Family family, int ranks, int heads) {
  if (family == Family::kPlaced) return std::max(1, heads / 2);
  return std::max(1, heads / ranks);
}

Partition MakeChunked(Family family,
                      const AttentionShape& shape,
                      const LayerMasks& masks,
                      int ranks,
                      int ring_degree,
                      int chunks,
                      const PlaceHeadsOf& place) {
  const int most = MostChunks(family, ranks, shape.heads);
  if (ring_degree > 1 || chunks > most) {
    Fail(ErrorCode::kInvalidArgument,
         "{} of {} heads on {} ranks, ring degree {}: {} chunks, expected at most {}",
         NameOf(family),
         shape.heads,
         ranks,
         ring_degree,
         chunks,
         ring_degree > 1 ? 1 : most);
  }
  if (family == Family::kUlysses || family == Family::kUsp) {
    Partition partition = place(shape, masks);
    ChunkRuns(partition, chunks);
    return partition;
  }
  Partition partition{ranks, shape.heads, shape.q_blocks(), shape.k_blocks(), {}, {}};
  partition.chunk_of_head = DivideHeads(masks, chunks, family == Family::kPlaced ? 1 : ranks);
  std::vector<HeadGroup> whole(ranks);
  for (int r = 0; r < ranks; ++r) whole[r].ranks = {r};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    ChunkLayer layer = ChunkOf(shape, masks, partition, chunk);
    layer.partition = place(layer.shape, layer.masks);
    AddGroups(layer, whole, partition);
  }
  for (HeadGroup& group : whole) {
    if (group.heads.empty() && family == Family::kPlaced) continue;
    std::ranges::sort(group.heads);
    partition.groups.push_back(std::move(group));
  }
  return partition;
}

}  // namespace dbsp::planner
