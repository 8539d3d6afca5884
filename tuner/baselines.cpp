// SPDX-License-Identifier: Apache-2.0
#include "tuner/baselines.h"

#include <memory>

#include "planner/placement/families.h"
#include "planner/workload/row_loads.h"

namespace dbsp::tuner {

BaselineLoads::BaselineLoads(const AttentionShape& shape, int ranks)
    : baselines_{{Family::kUlysses, ranks, 1, {}}, {Family::kRing, 1, ranks, {}}} {
  LayerMasks any;  // the two families place heads and rows without looking at masks
  any.head.assign(shape.heads, std::make_shared<BlockMask>(shape.q_blocks(), shape.k_blocks()));
  for (const Baseline& baseline : baselines_) {
    partitions_.push_back(planner::MakePartition(baseline.family,
                                                 shape,
                                                 any,
                                                 ranks,
                                                 baseline.ulysses_degree,
                                                 baseline.ring_degree,
                                                 MakeHomeLayout(shape, ranks)));
  }
}

std::vector<std::vector<std::int64_t>> BaselineLoads::On(const LayerMasks& masks) const {
  const planner::RowLoads rows = planner::RowLoadsOf(masks);
  std::vector<std::vector<std::int64_t>> loads;
  for (const Partition& partition : partitions_) {
    loads.push_back(planner::RankLoads(rows, partition));
  }
  return loads;
}

}  // namespace dbsp::tuner
