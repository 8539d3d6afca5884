// SPDX-License-Identifier: Apache-2.0
// Small layers with odd sizes, and cells, ranks and predictions made from them.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/placement/families.h"
#include "planner/timeline/costs.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/token_layout.h"
#include "replay/cell.h"
#include "replay/cpu_rank.h"
#include "replay/transport.h"

namespace dbsp::replay::testing {

/// Costs by simple rules, so that plans have predictions: one nanosecond per unit of work.
class UnitCosts final : public planner::Costs {
 public:
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override {
    return Of(static_cast<double>(work.active_pairs));
  }
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override {
    return Of(static_cast<double>(bytes));
  }
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int) const override {
    return Of(static_cast<double>(rows));
  }
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int>,
                                           std::int64_t bytes) const override {
    return Of(static_cast<double>(bytes));
  }
  [[nodiscard]] planner::Estimate Hop(std::span<const int>, std::int64_t bytes) const override {
    return Of(static_cast<double>(bytes));
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t) const override { return 0; }
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

 private:
  static planner::Estimate Of(double ns) { return {ns, ns, ns}; }
};

/// Shape of a layer and properties of its masks.
struct Scenario {
  std::string name;
  AttentionShape shape;
  double density = 0.4;
  bool empty_rows = false;  ///< every third row has no key
  int empty_every = 0;  ///< every n-th head has an empty mask, 0 = none
};

inline LayerMasks MakeMasks(const Scenario& scenario, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  LayerMasks masks;
  for (int head = 0; head < scenario.shape.heads; ++head) {
    BlockMask mask(scenario.shape.q_blocks(), scenario.shape.k_blocks());
    const bool empty = scenario.empty_every > 0 && head % scenario.empty_every == 0;
    for (int i = 0; i < mask.rows() && !empty; ++i) {
      if (scenario.empty_rows && i % 3 == 1) continue;
      // Heads differ in density, so that balancing moves something.
      const double density = scenario.density * (1.0 + 0.5 * (head % 3));
      for (int j = 0; j < mask.cols(); ++j) {
        if (uniform(random) < density) mask.Set(i, j);
      }
    }
    masks.head.push_back(std::make_shared<const BlockMask>(std::move(mask)));
  }
  return masks;
}

inline std::vector<Scenario> Scenarios() {
  return {
      {"tails", {5, 16, 149, {16, 8}}, 0.4, false, 0},
      {"empty rows and heads, wide blocks", {4, 16, 130, {8, 16}}, 0.3, true, 2},
      {"one block", {2, 16, 7, {16, 16}}, 2.0, false, 0},
      {"dense, even", {8, 16, 128, {8, 8}}, 2.0, false, 0},
      {"all masks empty", {3, 16, 101, {16, 8}}, 0.4, false, 1},
      {"one head, few rows", {1, 24, 61, {32, 8}}, 0.5, true, 0},
      {"blocks that do not divide each other", {3, 24, 171, {12, 8}}, 0.5, true, 3},
  };
}

inline Strategy MakeStrategy(Family family, int ulysses, int ring) {
  Strategy strategy;
  strategy.family = family;
  strategy.ulysses_degree = ulysses;
  strategy.ring_degree = ring;
  strategy.exchange = planner::ExchangeOf(family, ring);
  return strategy;
}

inline Cell MakeTestCell(const Scenario& scenario,
                         Family family,
                         int ranks,
                         std::pair<int, int> degrees,
                         double reward = 2.0,
                         std::uint64_t seed = 7,
                         int chunks = 1,
                         const std::string& layout_name = "given") {
  const LayerMasks masks = MakeMasks(scenario, seed);
  const TokenLayout layout = planner::MakeLayout(layout_name, scenario.shape);
  const HomeLayout home = MakeHomeLayout(scenario.shape, ranks);
  const Partition partition =
      planner::MakePartition(family,
                             scenario.shape,
                             planner::Permuted(masks, layout, scenario.shape),
                             ranks,
                             degrees.first,
                             degrees.second,
                             home,
                             {.dbsp_reward = reward, .balanced_scans = 200, .chunks = chunks});
  Strategy strategy = MakeStrategy(family, degrees.first, degrees.second);
  strategy.chunks = chunks;
  return MakeCell(
      scenario.shape, masks, partition, strategy, {.seed = seed, .step = 1, .layer = 2}, layout);
}

inline std::vector<CpuRank> MakeRanks(const Cell& cell) {
  std::vector<CpuRank> ranks;
  ranks.reserve(cell.ranks());
  for (int rank = 0; rank < cell.ranks(); ++rank) ranks.emplace_back(cell, rank);
  return ranks;
}

inline std::vector<Segment> Predicted(const Cell& cell) {
  return planner::Predict(cell.volumes, cell.shape, DType::kF32, UnitCosts()).segments;
}

inline constexpr Repeats kOnce{.warmups = 0, .runs = 1};

}  // namespace dbsp::replay::testing
