// SPDX-License-Identifier: Apache-2.0
// Published times against predictions of the cluster model. docs/results/published_times.md has the
// tables. The errors are printed; the tests fail when one grows past what is stated there.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "core/units.h"
#include "planner/placement/families.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/presets.h"
#include "tuner/cluster_costs.h"

namespace dbsp::tuner {
namespace {

void Print(const std::string& what, double published, double predicted, const char* unit) {
  std::printf("  %-44s published %9.3f %s, predicted %9.3f, error %+6.1f%%\n",
              what.c_str(),
              published,
              unit,
              predicted,
              100 * (predicted / published - 1));
}

/// One dense layer of one pass on ranks of a cluster.
Prediction DenseLayer(const ModelShape& model, const planner::Costs& costs, int u, int r) {
  const AttentionShape shape{model.heads, model.head_dim, model.tokens(), {128, 128}};
  const auto full =
      std::make_shared<const BlockMask>(BlockMask::Full(shape.q_blocks(), shape.k_blocks()));
  LayerMasks masks;
  masks.head.assign(shape.heads, full);
  Strategy strategy;
  strategy.family = r == 1 ? Family::kUlysses : Family::kUsp;
  strategy.exchange = r == 1 ? Exchange::kAllToAll : Exchange::kRing;
  strategy.ulysses_degree = u;
  strategy.ring_degree = r;
  const HomeLayout home = MakeHomeLayout(shape, u * r);
  const Partition partition =
      planner::MakePartition(strategy.family, shape, masks, u * r, u, r, home);
  const planner::LayerVolumes work = planner::BuildLayerVolumes(
      shape, masks, partition, strategy, home, DType::kBf16, /*must_move=*/0);
  return planner::Predict(work, shape, DType::kBf16, costs);
}

struct PublishedVideo {
  const char* name;
  int gpus;
  int cfg;
  int ulysses;
  int ring;
  double seconds;
  double limit;  ///< of the error, either way
};

TEST(PublishedTimesTest, Wan22OnGb200FromOneCalibratedPoint) {
  // NVIDIA/TensorRT-LLM pull request 13821: Wan2.2 14B, 40 steps, GB200. The time of one GPU gives
  // the rest of a step; everything else is predicted.
  const ModelShape model = planner::ModelPreset("wan2.2-a14b-720p");
  const ClusterCosts costs(ParseCluster("gb200x64"));
  const PublishedVideo rows[] = {
      {"1 GPU (calibrated)", 1, 1, 1, 1, 348.4, 0.001},
      {"2 GPUs, cfg2", 2, 2, 1, 1, 174.0, 0.01},
      {"4 GPUs, cfg2 x u2", 4, 2, 2, 1, 95.89, 0.10},
      {"8 GPUs, cfg2 x u4", 8, 2, 4, 1, 48.06, 0.10},
      {"16 GPUs, cfg2 x u4 x r2", 16, 2, 4, 2, 25.60, 0.15},
      {"32 GPUs, cfg2 x u8 x r2", 32, 2, 8, 2, 14.12, 0.20},
      {"64 GPUs, cfg2 x u8 x r4", 64, 2, 8, 4, 8.48, 0.30},
  };
  const double cells = static_cast<double>(model.layers) * model.steps;
  const auto attention_s = [&](const PublishedVideo& row) {
    const Prediction layer = DenseLayer(model, costs, row.ulysses, row.ring);
    const int waves = SequentialWaves(model.passes, row.cfg);
    return static_cast<double>(layer.total_ns) * waves * cells / 1e9;
  };
  const double rest_s = rows[0].seconds - attention_s(rows[0]);
  EXPECT_GT(rest_s, 0);
  std::printf("  rest on one GPU %.1f s of %.1f\n", rest_s, rows[0].seconds);
  for (const PublishedVideo& row : rows) {
    const double predicted = attention_s(row) + rest_s / row.gpus;
    Print(row.name, row.seconds, predicted, "s");
    EXPECT_LE(std::abs(predicted / row.seconds - 1), row.limit) << row.name;
  }
}

TEST(PublishedTimesTest, LayerOfDbspOnA800) {
  // db-SP (arXiv 2511.23113), Wan2.1 14B at 720p, U4R2 on 8 A800: means of the published ranges.
  // The all-to-all, the hop and the copies are where the A800's figures come from (calibrated);
  // attention and merge are predicted.
  const ClusterCosts costs(ParseCluster("a800x8"));
  constexpr std::int64_t kTensor = 96'800'000;  // bytes of one of Q, K, V, O on a rank
  const auto check = [](const std::string& what, double published, double ns) {
    Print(what, published, ns / kNsPerMs, "ms");
    EXPECT_NEAR(ns / kNsPerMs / published, 1, 0.10) << what;
  };
  check("all-to-all of 4 ranks (calibrated)",
        0.62,
        costs.AllToAll(planner::FirstRanks(4), kTensor * 3 / 4).ns);
  check("hop of K and V (calibrated)", 2.2, costs.Hop(planner::FirstRanks(2), 2 * kTensor).ns);
  // 10 heads, half of 592 x 592 tiles of 128 tokens in 64 x 64 blocks, density 0.414.
  planner::AttentionWork work;
  work.heads = 10;
  work.head_dim = 128;
  work.block = {64, 64};
  work.active_rows = work.rows = 10LL * 592;
  work.active_blocks = std::llround(0.414 * 10 * 592 * 592);
  check("attention of one ring step (predicted)", 16.25, costs.Attention(work).ns);
  check("merge (predicted)", 0.35, costs.Merge(10LL * 37888, 128).ns);
  // Q, K and V are packed and unpacked in two rounds, and O in two.
  check("layout copies (calibrated)",
        2.2,
        4 * costs.Copy(3 * kTensor).ns + 4 * costs.Copy(kTensor).ns);
}

}  // namespace
}  // namespace dbsp::tuner
