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

/// Heads, those with the most active blocks first.
std::vector<int> ByLoad(const LayerMasks& masks, const LayerCounts* of) {
  const std::vector<std::int64_t> counts = HeadCounts(masks, of);
  std::vector<int> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return counts[a] > counts[b]; });
  return order;
}

/// Chunk of every head. Heads are sorted by load and cut into tiers of `tier` heads. Tiers are
/// dealt to the chunks in order, then in reverse order, and so on. Chunks then have equal loads,
/// and every rank gets one head of each tier.
std::vector<int> DivideHeads(const LayerMasks& masks,
                             int chunks,
                             int tier,
                             const LayerCounts* counts) {
  std::vector<int> chunk(masks.head.size());
  const std::vector<int> order = ByLoad(masks, counts);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const int index = static_cast<int>(i) / tier;
    const int position = index % chunks;
    const bool reverse = index / chunks % 2 == 1;
    chunk[order[i]] = reverse ? chunks - 1 - position : position;
  }
  return chunk;
}

/// Divides the contiguous heads of every rank into `chunks` runs.
void ChunkRuns(Partition& partition, int chunks) {
  partition.chunk_of_head.assign(partition.heads, 0);
  for (const HeadGroup& group : partition.groups) {
    const std::size_t heads = group.heads.size();
    for (std::size_t i = 0; i < heads; ++i) {
      // A rank with fewer heads than chunks has them in the first chunks.
      const std::size_t run = heads < static_cast<std::size_t>(chunks)
                                  ? i
                                  : i * static_cast<std::size_t>(chunks) / heads;
      partition.chunk_of_head[group.heads[i]] = static_cast<int>(run);
    }
  }
}

/// Adds the groups of a chunk: whole heads to the group of their rank, split heads as they are.
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
                      const LayerCounts* counts,
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
  partition.chunk_of_head =
      DivideHeads(masks, chunks, family == Family::kPlaced ? 1 : ranks, counts);
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
