// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/routes.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "planner/timeline/chunks.h"
#include "planner/timeline/home_ring.h"

namespace dbsp::planner {
namespace {

void CheckAgree(const AttentionShape& shape,
                const LayerMasks& masks,
                const Partition& partition,
                const HomeLayout& home) {
  if (shape.tokens < 1 || shape.block.q < 1 || shape.block.k < 1 || shape.head_dim < 1) {
    Fail(ErrorCode::kInvalidArgument,
         "shape of {} tokens, blocks {}x{}, head_dim {} is empty",
         shape.tokens,
         shape.block.q,
         shape.block.k,
         shape.head_dim);
  }
  if (partition.heads != shape.heads || partition.q_blocks != shape.q_blocks() ||
      partition.k_blocks != shape.k_blocks() || masks.heads() != shape.heads) {
    Fail(ErrorCode::kInvalidArgument,
         "{} heads of {} x {} blocks, but the partition has {} of {} x {} and there are {} masks",
         shape.heads,
         shape.q_blocks(),
         shape.k_blocks(),
         partition.heads,
         partition.q_blocks,
         partition.k_blocks,
         masks.heads());
  }
  for (const BlockMaskPtr& mask : masks.head) {
    if (mask == nullptr || mask->rows() != partition.q_blocks ||
        mask->cols() != partition.k_blocks) {
      Fail(ErrorCode::kInvalidArgument,
           "a mask is missing or not of {} x {} blocks",
           partition.q_blocks,
           partition.k_blocks);
    }
  }
  if (home.ranks() != partition.ranks || home.begin.front() != 0 ||
      home.begin.back() != shape.tokens) {
    Fail(ErrorCode::kInvalidArgument,
         "home layout of {} ranks does not spread {} tokens over {} ranks",
         home.ranks(),
         shape.tokens,
         partition.ranks);
  }
}

void CheckStrategy(const Partition& partition, const Strategy& strategy) {
  if (strategy.chunks != ChunksOf(partition)) {
    Fail(ErrorCode::kInvalidArgument,
         "the strategy has {} chunks, its partition {}",
         strategy.chunks,
         ChunksOf(partition));
  }
  const bool split = std::any_of(partition.groups.begin(),
                                 partition.groups.end(),
                                 [](const HeadGroup& group) { return group.ranks.size() > 1; });
  if (split && strategy.exchange == Exchange::kAllToAll) {
    Fail(
        ErrorCode::kInvalidArgument,
        "the partition splits rows, so K/V must reach several ranks: exchange alltoall cannot, use "
        "ring, allgather or needed");
  }
  if (strategy.chunks > 1 && strategy.exchange == Exchange::kRing) {
    Fail(ErrorCode::kInvalidArgument,
         "chunks = {} cannot be used with exchange ring, whose link is busy under attention; use "
         "alltoall, "
         "allgather or needed",
         strategy.chunks);
  }
  const Status status = ValidatePartition(partition, split && strategy.exchange == Exchange::kRing);
  if (!status.ok()) Fail(ErrorCode::kInvalidArgument, "partition: {}", status.message());
}

void LinkRings(const Partition& partition, Routes& routes) {
  for (const HeadGroup& group : partition.groups) {
    const std::size_t ring = group.ranks.size();
    if (ring == 1) continue;
    routes.steps = std::max(routes.steps, static_cast<int>(ring));
    for (std::size_t i = 0; i < ring; ++i) {
      const auto rank = static_cast<std::size_t>(group.ranks[i]);
      if (routes.ring_next[rank] >= 0) {
        Fail(ErrorCode::kInvalidArgument, "rank {} is in two rings; expected at most one", rank);
      }
      routes.ring_next[rank] = group.ranks[(i + 1) % ring];
      routes.ring_prev[rank] = group.ranks[(i + ring - 1) % ring];
    }
  }
}

/// The two rounds of dbsp name ranks by (ring index, group), so the partition must be that grid.
void CheckGrid(const Partition& partition, const Strategy& strategy) {
  const int ulysses = strategy.ulysses_degree;
  const int ring = strategy.ring_degree;
  bool grid = ulysses * ring == partition.ranks &&
              partition.groups.size() == static_cast<std::size_t>(ulysses);
  for (int g = 0; grid && g < ulysses; ++g) {
    const HeadGroup& group = partition.groups[g];
    grid = group.ranks.size() == static_cast<std::size_t>(ring);
    for (int i = 0; grid && i < ring; ++i) {
      grid = group.ranks[i] == i * ulysses + g;
    }
  }
  if (!grid) {
    Fail(ErrorCode::kInvalidArgument,
         "dbsp {} x {}: the partition's groups are not the rank grid ring_index * {} + group",
         ulysses,
         ring,
         ulysses);
  }
}

}  // namespace

Routes MakeRoutes(const AttentionShape& shape,
                  const LayerMasks& masks,
                  const Partition& partition,
                  const Strategy& strategy,
                  const HomeLayout& home) {
  CheckAgree(shape, masks, partition, home);
  CheckStrategy(partition, strategy);
  Routes routes;
  routes.exchange = strategy.exchange;
  routes.ring_next.assign(partition.ranks, -1);
  routes.ring_prev = routes.ring_next;
  const bool ring = strategy.exchange == Exchange::kRing;
  if (ring) LinkRings(partition, routes);
  if (ring && strategy.family == Family::kDbsp && strategy.ulysses_degree > 1 &&
      strategy.ring_degree > 1) {
    CheckGrid(partition, strategy);
    routes.two_rounds = true;
    routes.ulysses = strategy.ulysses_degree;
  }
  routes.home_q = HomeRing(shape.q_blocks(), shape.block.q, home, 1);
  routes.home_k = HomeRing(shape.k_blocks(), shape.block.k, home, 1);
  return routes;
}

}  // namespace dbsp::planner
