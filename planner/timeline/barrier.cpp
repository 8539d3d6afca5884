// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/barrier.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/shape.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {
namespace {

/// A shape with one token per block: only block indices matter here.
AttentionShape BlockShape(const LayerMasks& masks) {
  AttentionShape shape;
  shape.heads = masks.heads();
  shape.block = {1, 1};
  shape.tokens = masks.cols();
  return shape;
}

}  // namespace

BarrierLoad BarrierLoadOf(const LayerMasks& masks, const Partition& partition) {
  const bool rings = std::any_of(partition.groups.begin(),
                                 partition.groups.end(),
                                 [](const HeadGroup& group) { return !group.col_owner.empty(); });
  const Status status = ValidatePartition(partition, rings);
  if (!status.ok()) Fail(ErrorCode::kInvalidArgument, "partition: {}", status.message());
  if (masks.heads() != partition.heads || masks.rows() != partition.q_blocks ||
      masks.cols() != partition.k_blocks) {
    Fail(ErrorCode::kInvalidArgument,
         "masks are {} x {} x {}, the partition {} x {} x {}",
         masks.heads(),
         masks.rows(),
         masks.cols(),
         partition.heads,
         partition.q_blocks,
         partition.k_blocks);
  }
  const AttentionShape shape = BlockShape(masks);
  std::map<std::pair<std::size_t, const BlockMask*>, std::vector<std::int64_t>> cache;
  std::vector<std::int64_t> rank_total(partition.ranks, 0);
  std::int64_t barrier = 0;
  std::int64_t total = 0;
  for (std::size_t g = 0; g < partition.groups.size(); ++g) {
    const HeadGroup& group = partition.groups[g];
    std::size_t same = 0;  // first group with the same split, whose cells are reused
    while (partition.groups[same].row_owner != group.row_owner ||
           partition.groups[same].col_owner != group.col_owner ||
           partition.groups[same].ranks.size() != group.ranks.size()) {
      ++same;
    }
    const auto ring = group.ranks.size();
    const RingSplit split(shape, group.row_owner, group.col_owner, static_cast<int>(ring));
    std::vector<std::int64_t> cells(ring * static_cast<std::size_t>(split.steps()), 0);
    for (const int head : group.heads) {
      const BlockMask* mask = masks.head[head].get();
      auto [at, fresh] = cache.try_emplace({same, mask});
      if (fresh) at->second = CountActiveBlocks(CountedMask(*mask), split);
      for (std::size_t c = 0; c < cells.size(); ++c) cells[c] += at->second[c];
    }
    std::int64_t ring_time = 0;
    for (std::size_t t = 0; t < cells.size(); t += ring) {
      std::int64_t slowest = 0;
      for (std::size_t i = 0; i < ring; ++i) {
        slowest = std::max(slowest, cells[t + i]);
        rank_total[group.ranks[i]] += cells[t + i];
        total += cells[t + i];
      }
      ring_time += slowest;
    }
    barrier = std::max(barrier, ring_time);
  }
  // A rank of several groups computes them one after the other.
  for (const std::int64_t load : rank_total) barrier = std::max(barrier, load);
  return {static_cast<double>(barrier), static_cast<double>(total) / partition.ranks};
}

double BarrierRho(const LayerMasks& masks, const Partition& partition) {
  const BarrierLoad load = BarrierLoadOf(masks, partition);
  return load.mean > 0 ? load.barrier / load.mean : 1.0;
}

}  // namespace dbsp::planner
