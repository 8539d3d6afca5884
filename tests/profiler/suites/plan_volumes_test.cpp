// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/plan_volumes.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "planner/timeline/connected_ranks.h"
#include "planner/timeline/timeline.h"
#include "profiler/suites/suite.h"
#include "tests/planner/fake_costs.h"
#include "tests/planner/random_case.h"

namespace dbsp::profiler {
namespace {

Plan PlanOf(const planner::RandomCase& made, const planner::LayerVolumes& work) {
  Plan plan;
  plan.ranks = made.partition.ranks;
  plan.shape = made.layer.shape;
  plan.partitions = {made.partition};
  plan.strategies = {made.strategy};
  plan.predictions = {planner::Predict(work, made.layer.shape, DType::kF32, planner::FakeCosts())};
  plan.cells = {{0, 0, 0, 0}, {0, 1, 0, 0}};
  return plan;
}

/// The ranks of every component and the bytes of its busiest rank, as the planner prices them.
std::set<std::pair<int, std::int64_t>> PricedAllToAlls(const planner::LayerVolumes& work) {
  std::set<std::pair<int, std::int64_t>> priced;
  for (std::size_t round = 0; round < work.rounds.size(); ++round) {
    const auto& component = work.component[round];
    for (const int number : component) {
      std::int64_t most = 0;
      for (int r = 0; r < work.ranks; ++r) {
        if (component[r] != number) continue;
        most = std::max({most, work.rounds[round].Sent(r), work.rounds[round].Received(r)});
      }
      const auto members = std::count(component.begin(), component.end(), number);
      if (most > 0) priced.insert({static_cast<int>(members), most});
    }
  }
  return priced;
}

/// Ranks that are connected in `inner` are connected in `outer`.
void ExpectCovered(const std::vector<std::vector<int>>& inner,
                   const std::vector<std::vector<int>>& outer) {
  ASSERT_EQ(inner.size(), outer.size());
  for (std::size_t round = 0; round < inner.size(); ++round) {
    for (std::size_t a = 0; a < inner[round].size(); ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (inner[round][a] == inner[round][b]) {
          EXPECT_EQ(outer[round][a], outer[round][b]);
        }
      }
    }
  }
}

TEST(PlanVolumesTest, AreTheVolumesThatThePlannerPricesForEveryFamily) {
  std::mt19937_64 random(11);
  int exchanges = 0;
  int two_rounds = 0;
  for (int i = 0; i < 400; ++i) {
    const planner::RandomCase made = planner::MakeRandomCase(random);
    SCOPED_TRACE(std::to_string(i) + ": " + NameOf(made.strategy.family) + " " +
                 std::to_string(made.strategy.ulysses_degree) + " x " +
                 std::to_string(made.strategy.ring_degree));
    const planner::LayerVolumes work = planner::BuildLayerVolumes(
        made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
    const planner::ConnectedRanks connected =
        planner::FindConnectedRanks(made.layer.shape, made.partition, made.strategy);
    const PlanVolumes volumes = VolumesOf(PlanOf(made, work));
    if (made.strategy.exchange == Exchange::kNeeded) {
      ExpectCovered(work.component, connected.component);
      continue;
    }
    EXPECT_EQ(connected.component, work.component);
    EXPECT_EQ(volumes.all_to_alls, PricedAllToAlls(work));
    std::set<std::int64_t> hops;
    for (const auto& step : work.hop_bytes) {
      for (const std::int64_t bytes : step) {
        if (bytes > 0) hops.insert(bytes);
      }
    }
    std::set<std::int64_t> found;
    for (const auto& [ranks, bytes] : volumes.hops) {
      EXPECT_EQ(ranks, made.strategy.ring_degree);
      found.insert(bytes);
    }
    EXPECT_EQ(found, hops);
    for (const auto& step : work.merge_rows) {
      for (const std::int64_t rows : step) {
        EXPECT_TRUE(rows == 0 || rows <= *volumes.merges.rbegin()) << rows;
      }
    }
    exchanges += volumes.all_to_alls.empty() ? 0 : 1;
    two_rounds += work.rounds.size() == 4 ? 1 : 0;
  }
  EXPECT_GT(exchanges, 100);
  EXPECT_GT(two_rounds, 5);
}

/// 4 heads x 16 blocks on 2 x 2 ranks, the ring index 0 of both groups with 3 rows and 10 columns.
Plan UnevenPlan() {
  Plan plan;
  plan.ranks = 4;
  plan.shape = {4, 64, 16 * 32, {32, 32}};
  Partition partition{4, 4, 16, 16, {}};
  const auto owners = [](int first) {
    std::vector<int> owner(16, 1);
    std::fill_n(owner.begin(), first, 0);
    return owner;
  };
  partition.groups = {{{0, 1}, {0, 2}, owners(3), owners(10)},
                      {{2, 3}, {1, 3}, owners(3), owners(10)}};
  plan.partitions = {partition};
  plan.strategies = {{.family = Family::kDbsp,
                      .ulysses_degree = 2,
                      .ring_degree = 2,
                      .exchange = Exchange::kRing,
                      .kernel = "cpu.reference"}};
  Prediction prediction;
  prediction.segments = {{0, SegmentKind::kPack, 0, 0, 1, 4000},
                         {0, SegmentKind::kExchange, 0, 1, 1, 3000},
                         {0, SegmentKind::kUnpack, 0, 2, 1, 9000},
                         {1, SegmentKind::kExchange, 0, 1, 1, 8000},
                         {2, SegmentKind::kExchange, 1, 3, 1, 500'000},
                         {2, SegmentKind::kHop, 0, 4, 1, 65536}};
  plan.predictions = {prediction};
  plan.cells = {{0, 0, 0, 0}};
  return plan;
}

TEST(PlanVolumesTest, UseTheConnectedRanksAndTheBytesOfTheBusiestOne) {
  const PlanVolumes volumes = VolumesOf(UnevenPlan());
  // Round 0 connects ranks 0 and 1. Rank 0 copies 4000 - 3000 bytes locally, so 8000 arrive. Round
  // 1 connects ranks 0 and 2.
  EXPECT_EQ(volumes.all_to_alls, (std::set<std::pair<int, std::int64_t>>{{2, 8000}, {2, 500'000}}));
  EXPECT_EQ(volumes.hops, (std::set<std::pair<int, std::int64_t>>{{2, 65536}}));
  EXPECT_EQ(volumes.copies, (std::set<std::int64_t>{4000, 9000}));
  EXPECT_EQ(volumes.merges, (std::set<std::int64_t>{2 * 13 * 32}));
  EXPECT_EQ(volumes.attention,
            (std::set<std::tuple<std::string, int, int, int>>{{"cpu.reference", 2, 13, 10}}));
}

TEST(PlanVolumesTest, RefuseAPlanWithoutCellsOrWithUnknownRounds) {
  EXPECT_THROW((void)VolumesOf(Plan()), Error);
  Plan plan = UnevenPlan();
  plan.predictions[0].segments[1].index = 4;
  EXPECT_THROW((void)VolumesOf(plan), Error);
}

TEST(PlanSuiteTest, HoldsThePlansShapesOnly) {
  const auto suite = MakeSuite({.ranks = 8, .plan = UnevenPlan()});
  std::set<std::string> exchanges;
  std::set<std::int64_t> packs;
  for (const TrialConfig& config : suite) {
    if (const auto* a = std::get_if<AttentionConfig>(&config)) {
      EXPECT_EQ(a->kernel, "cpu.reference");
      EXPECT_EQ(std::tuple(a->heads, a->k_blocks, a->head_dim), std::tuple(2, 10, 64));
      EXPECT_TRUE(a->q_blocks == 13 || a->q_blocks == 7) << a->q_blocks;
    } else if (const auto* x = std::get_if<ExchangeConfig>(&config)) {
      exchanges.insert(x->op + " " + std::to_string(x->ranks) + " " +
                       std::to_string(x->bytes_per_rank));
    } else if (const auto& local = std::get<LocalConfig>(config); local.op == "pack") {
      packs.insert(local.amount);
    } else {
      EXPECT_EQ(local.amount, 2 * 13 * 32);
    }
  }
  EXPECT_EQ(exchanges,
            (std::set<std::string>{"alltoall 2 8000", "alltoall 2 500000", "hop 2 65536"}));
  EXPECT_EQ(packs, (std::set<std::int64_t>{3840, 8960}));  // whole rows of 64 floats
}

TEST(PlanSuiteTest, SizesThatAreAlmostTheSameAreMeasuredOnce) {
  Plan plan = UnevenPlan();
  plan.predictions[0].segments.push_back({3, SegmentKind::kHop, 0, 4, 1, 65000});
  plan.predictions[0].segments.push_back({1, SegmentKind::kHop, 0, 4, 1, 40000});
  std::vector<std::int64_t> hops;
  for (const TrialConfig& config : MakeSuite({.plan = plan})) {
    const auto* x = std::get_if<ExchangeConfig>(&config);
    if (x != nullptr && x->op == "hop") hops.push_back(x->bytes_per_rank);
  }
  EXPECT_EQ(hops, (std::vector<std::int64_t>{65536, 40000}));
}

}  // namespace
}  // namespace dbsp::profiler
