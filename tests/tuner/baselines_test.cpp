// SPDX-License-Identifier: Apache-2.0
#include "tuner/baselines.h"

#include <gtest/gtest.h>

#include "planner/placement/families.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"

namespace dbsp::tuner {
namespace {

/// Active blocks per rank according to BuildLayerVolumes, with a partition made from the masks.
std::vector<std::int64_t> CountedLoads(const AttentionShape& shape,
                                       const LayerMasks& masks,
                                       const Baseline& baseline,
                                       int ranks) {
  const HomeLayout home = MakeHomeLayout(shape, ranks);
  Strategy strategy;
  strategy.family = baseline.family;
  strategy.ulysses_degree = baseline.ulysses_degree;
  strategy.ring_degree = baseline.ring_degree;
  strategy.exchange = planner::ExchangeOf(baseline.family, baseline.ring_degree);
  const Partition partition = planner::MakePartition(
      baseline.family, shape, masks, ranks, baseline.ulysses_degree, baseline.ring_degree, home);
  const planner::LayerVolumes volumes =
      planner::BuildLayerVolumes(shape, masks, partition, strategy, home, DType::kBf16);
  std::vector<std::int64_t> loads(ranks, 0);
  for (const auto& step : volumes.attention) {
    for (int rank = 0; rank < ranks; ++rank) loads[rank] += step[rank].active_blocks;
  }
  return loads;
}

TEST(BaselineLoadsTest, AreTheActiveBlocksOfPlainUlyssesAndPlainRing) {
  Workload workload;
  workload.model = {"test", 2, 5, 32, {1, 1, 300}, 0, 2, 1};
  workload.block = {16, 16};
  planner::ApplyMaskFlag("random:density=0.3,seed=11", workload);
  const auto source = planner::OpenMasks(workload);
  for (const int ranks : {1, 3, 4, 8, 32}) {  // up to more ranks than heads and than blocks
    SCOPED_TRACE(ranks);
    const BaselineLoads baselines(workload.shape(), ranks);
    ASSERT_EQ(baselines.baselines().size(), 2U);
    for (int layer = 0; layer < 2; ++layer) {
      const LayerMasks masks = source->At(1, layer);
      const auto loads = baselines.On(masks);
      for (std::size_t b = 0; b < loads.size(); ++b) {
        EXPECT_EQ(loads[b], CountedLoads(workload.shape(), masks, baselines.baselines()[b], ranks));
      }
    }
  }
}

}  // namespace
}  // namespace dbsp::tuner
