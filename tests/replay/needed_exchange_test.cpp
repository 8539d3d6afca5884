// SPDX-License-Identifier: Apache-2.0
// The exchanges needed and allgather: K/V blocks go to several ranks, ranks belong to several
// groups, some ranks get no row. Outputs, bytes and blocks are checked as for the other exchanges.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "replay/replay.h"
#include "replay/verify.h"
#include "replay/work_check.h"
#include "tests/planner/random_placed.h"
#include "tests/replay/cases.h"
#include "tests/replay/plans.h"

namespace dbsp::replay {
namespace {

using planner::MakeRandomPlaced;
using planner::WithoutColumns;
using testing::kOnce;
using testing::MakeRanks;
using testing::Predicted;
using testing::Scenario;
using testing::Scenarios;

struct Placement {
  std::string name;
  Partition partition;
  Strategy strategy;
};

/// Every U x R of usp, groups without heads included, and three random ones of family placed.
std::vector<Placement> Placements(const Scenario& scenario, const LayerMasks& masks, int ranks) {
  std::vector<Placement> all;
  const HomeLayout home = MakeHomeLayout(scenario.shape, ranks);
  for (const auto& [u, r] : planner::DegreesOf(Family::kUsp, ranks, scenario.shape.heads)) {
    all.push_back({fmt::format("usp U{} R{}", u, r),
                   WithoutColumns(planner::MakePartition(
                       Family::kUsp, scenario.shape, masks, ranks, u, r, home)),
                   testing::MakeStrategy(Family::kUsp, u, r)});
  }
  std::mt19937_64 random(91);
  for (int i = 0; i < 3; ++i) {
    Strategy strategy;
    strategy.family = Family::kPlaced;
    all.push_back(
        {fmt::format("placed {}", i), MakeRandomPlaced(random, scenario.shape, ranks), strategy});
  }
  return all;
}

/// Calls body(cell) for every placement of every scenario with both exchanges.
template <typename Body>
void ForEveryCell(int ranks, const Body& body) {
  for (const Scenario& scenario : Scenarios()) {
    const LayerMasks masks = testing::MakeMasks(scenario, 7);
    for (Placement& placement : Placements(scenario, masks, ranks)) {
      for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
        SCOPED_TRACE(fmt::format(
            "{}: {} {} on {} ranks", scenario.name, placement.name, NameOf(exchange), ranks));
        placement.strategy.exchange = exchange;
        body(MakeCell(scenario.shape,
                      masks,
                      placement.partition,
                      placement.strategy,
                      {.seed = 7, .step = 1, .layer = 2}));
      }
    }
  }
}

std::vector<float> AllOutputs(const Cell& cell, std::span<const CpuRank> ranks) {
  std::vector<float> all;
  for (int head = 0; head < cell.shape.heads; ++head) {
    for (std::int64_t token = 0; token < cell.shape.tokens; ++token) {
      const auto home = static_cast<std::size_t>(cell.home.RankOf(token));
      const std::span<const float> row = ranks[home].Output(head, token);
      all.insert(all.end(), row.begin(), row.end());
    }
  }
  return all;
}

void ExpectVerified(const Cell& cell, std::span<const CpuRank> ranks) {
  EXPECT_EQ(CheckWork(cell, ranks).message(), "");
  std::int64_t sent = 0;
  std::int64_t computed = 0;
  for (const CpuRank& rank : ranks) {
    const ExecutedWork& done = rank.executed();
    sent = std::accumulate(done.sent_bytes.begin(), done.sent_bytes.end(), sent);
    computed = std::accumulate(done.active_blocks.begin(), done.active_blocks.end(), computed);
  }
  EXPECT_EQ(sent, cell.volumes.TotalBytesSent());
  std::int64_t kept = 0;
  for (const BlockMaskPtr& mask : cell.masks.head) kept += mask->Count();
  EXPECT_EQ(computed, kept);
  const VerifyResult result = Verify(cell, ranks, {.threads = 1});
  EXPECT_TRUE(result.passed) << result.problem;
  EXPECT_EQ(result.rows_checked, result.rows);
}

class NeededExchangeTest : public ::testing::TestWithParam<int> {};

TEST_P(NeededExchangeTest, NeededAndAllgatherAgreeWithTheReferenceOnBothTransports) {
  ForEveryCell(GetParam(), [](const Cell& cell) {
    std::vector<CpuRank> threads = MakeRanks(cell);
    ASSERT_EQ(RunThreads(cell, threads, kOnce, {}).size(), 1U);
    ExpectVerified(cell, threads);
    std::vector<CpuRank> serial = MakeRanks(cell);
    ASSERT_GT(RunSerial(cell, serial, Predicted(cell), kOnce, {}).makespan_ns, 0);
    ExpectVerified(cell, serial);
    const std::vector<float> a = AllOutputs(cell, threads);
    const std::vector<float> b = AllOutputs(cell, serial);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, NeededExchangeTest, ::testing::Values(1, 2, 3, 4, 6, 8));

TEST(NeededExchangeVerifyTest, FindsANeededBlockThatNeverArrivedAtOneOfItsRanks) {
  const Scenario scenario = Scenarios()[3];  // dense: every row needs every block
  const LayerMasks masks = testing::MakeMasks(scenario, 7);
  Strategy strategy = testing::MakeStrategy(Family::kUsp, 2, 2);
  strategy.exchange = Exchange::kNeeded;
  const Partition partition = WithoutColumns(planner::MakePartition(
      Family::kUsp, scenario.shape, masks, 4, 2, 2, MakeHomeLayout(scenario.shape, 4)));
  Cell cell = MakeCell(scenario.shape, masks, partition, strategy, {.seed = 7});
  std::size_t copies = 0;
  for (std::size_t pair = 0; pair < cell.schedule.before[0].items.size(); ++pair) {
    auto& items = cell.schedule.before[0].items[pair];
    const planner::BlockItem item{planner::Tensor::kV, 1, 5};
    copies += static_cast<std::size_t>(std::count(items.begin(), items.end(), item));
    if (pair % 4 == 2) std::erase(items, item);
  }
  ASSERT_EQ(copies, 2U);  // both ranks of the head's group
  std::vector<CpuRank> ranks = MakeRanks(cell);
  (void)RunThreads(cell, ranks, kOnce, {});
  const VerifyResult result = Verify(cell, ranks, {.threads = 1});
  EXPECT_FALSE(result.passed);
  EXPECT_NE(result.problem.find("head 1"), std::string::npos) << result.problem;
  EXPECT_NE(CheckWork(cell, ranks).message().find("bytes"), std::string::npos);
}

TEST(NeededExchangePlanTest, APlanOfPlacedHeadsReplaysAndVerifiesThroughTheTool) {
  const Workload workload = testing::SmallWorkload(2, 2);
  std::mt19937_64 random(92);
  for (const TransportKind transport : {TransportKind::kSerial, TransportKind::kThreads}) {
    Plan plan = testing::SmallPlan(workload, Family::kUlysses, {4, 1});
    const auto masks = planner::OpenMasks(workload);
    const HomeLayout home = MakeHomeLayout(plan.shape, plan.ranks);
    for (const PlanCell& cell : plan.cells) {
      Strategy& strategy = plan.strategies[cell.strategy];
      Partition& partition = plan.partitions[strategy.partition];
      strategy.family = Family::kPlaced;
      strategy.exchange = Exchange::kNeeded;
      partition = MakeRandomPlaced(random, plan.shape, plan.ranks);
      plan.predictions[cell.prediction] = planner::Predict(
          planner::BuildLayerVolumes(
              plan.shape, masks->At(cell.step, cell.layer), partition, strategy, home, DType::kF32),
          plan.shape,
          DType::kF32,
          testing::UnitCosts());
    }
    ReplayOptions options;
    options.transport = transport;
    options.verify = true;
    options.repeats = kOnce;
    const ReplayOutcome outcome = Replay(plan, *masks, options);
    ASSERT_EQ(outcome.cells.size(), plan.cells.size());
    for (std::size_t i = 0; i < outcome.cells.size(); ++i) {
      ASSERT_TRUE(outcome.cells[i].verified.has_value());
      EXPECT_TRUE(outcome.cells[i].verified->passed) << outcome.cells[i].verified->problem;
      const std::vector<std::int64_t>& sent = outcome.cells[i].bytes_sent;
      EXPECT_EQ(*std::max_element(sent.begin(), sent.end()), plan.predictions[i].bytes_per_rank);
    }
  }
}

}  // namespace
}  // namespace dbsp::replay
