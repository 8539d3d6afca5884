// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "planner/timeline/schedule_check.h"
#include "planner/workload/token_layout.h"
#include "tests/core/small_plan.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

using ::testing::HasSubstr;

Schedule ScheduleOf(const RandomCase& made) {
  return BuildSchedule(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home);
}

TEST(ValidateTest, ListsOfEveryFamilyAreRight) {
  std::mt19937_64 random(31);
  for (int trial = 0; trial < 500; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    ASSERT_EQ(
        CheckSchedule(made.layer.shape, made.layer.masks, made.home, ScheduleOf(made)).message(),
        "");
  }
}

/// usp or dbsp on 2 x 2 ranks with 3 heads of 7 x 7 blocks, all active.
RandomCase Dense(Family family) {
  RandomCase made;
  made.layer.shape = {3, 8, 26, {4, 4}};
  made.layer.masks.head.assign(3, std::make_shared<BlockMask>(BlockMask::Full(7, 7)));
  made.home = MakeHomeLayout(made.layer.shape, 4);
  made.strategy.family = family;
  made.strategy.ulysses_degree = made.strategy.ring_degree = 2;
  made.strategy.exchange = Exchange::kRing;
  made.partition = MakePartition(family, made.layer.shape, made.layer.masks, 4, 2, 2, made.home);
  return made;
}

/// placed: head 0 is whole on rank 2. Head 1 is on ranks 3, 0 and 2, of which 2 has no row. Head 2
/// is on ranks 2 and 1. Every row has two active columns, except row 4, which has none.
RandomCase Placed(Exchange exchange) {
  RandomCase made = Dense(Family::kUsp);
  made.strategy.family = Family::kPlaced;
  made.strategy.exchange = exchange;
  auto mask = std::make_shared<BlockMask>(7, 7);
  for (int i = 0; i < 7; ++i) {
    for (const int j : {i / 2, 6 - i}) mask->Set(i, j, i != 4);
  }
  made.layer.masks.head.assign(3, mask);
  made.partition.groups = {{{1}, {3, 0, 2}, {0, 1, 0, 1, 0, 1, 0}, {}},
                           {{2}, {2, 1}, {0, 0, 0, 1, 1, 1, 1}, {}},
                           {{0}, {2}, {}, {}}};
  return made;
}

/// A list of the round that is not empty.
std::vector<BlockItem>& SomeItems(ExchangeRound& round) {
  return *std::ranges::find_if(round.items, [](const auto& items) { return !items.empty(); });
}

TEST(ValidateTest, EveryKindOfErrorIsFound) {
  struct Damage {
    const char* words;
    std::function<void(Schedule&)> apply;
  };
  const std::vector<Damage> damages{
      {"not sent",
       [](Schedule& s) { SomeItems(s.before[0]).erase(SomeItems(s.before[0]).begin()); }},
      {"not on the rank", [](Schedule& s) { SomeItems(s.before.back()).pop_back(); }},
      {"sent twice",
       [](Schedule& s) {
         auto& items = SomeItems(s.before[0]);
         items.push_back(items.back());
       }},
      {"does not have it",
       [](Schedule& s) { std::swap(s.before[0].items[0], s.before[0].items[4]); }},
      {"not sent", [](Schedule& s) { SomeItems(s.after.back()).pop_back(); }},
      {"computed nowhere", [](Schedule& s) { s.rank[0].heads[0].rows.pop_back(); }},
      {"computed twice",
       [](Schedule& s) {
         auto& rows = s.rank[0].heads[0].rows;
         rows.push_back(rows.front());
       }},
      {"active block is not computed",
       [](Schedule& s) { s.rank[0].columns[1][0].cols.pop_back(); }},
      {"used twice",
       [](Schedule& s) {
         auto& cols = s.rank[0].columns[0][0].cols;
         cols.push_back(cols.front());
       }},
      {"not on the rank",
       [](Schedule& s) { std::swap(s.rank[0].columns[0], s.rank[0].columns[1]); }},
      {"not on the rank", [](Schedule& s) { s.rank[2].ring_next = 3, s.rank[0].ring_next = 1; }},
      {"other heads than the rows", [](Schedule& s) { s.rank[1].columns[0].clear(); }},
      {"does not exist", [](Schedule& s) { s.rank[1].heads[0].head = 99; }},
      {"ring steps", [](Schedule& s) { s.rank[1].columns.pop_back(); }},
      {"not a block", [](Schedule& s) { SomeItems(s.before[0]).front().block = 7; }},
  };
  for (const Family family : {Family::kUsp, Family::kDbsp}) {
    const RandomCase made = Dense(family);
    for (const Damage& damage : damages) {
      SCOPED_TRACE(damage.words);
      Schedule schedule = ScheduleOf(made);
      damage.apply(schedule);
      EXPECT_THAT(CheckSchedule(made.layer.shape, made.layer.masks, made.home, schedule).message(),
                  HasSubstr(damage.words));
    }
  }
}

/// The rows and columns of a head on a rank, and the items that bring one of them there.
std::size_t HeadAt(const Schedule& schedule, std::size_t rank, int head) {
  const auto& heads = schedule.rank[rank].heads;
  return static_cast<std::size_t>(std::ranges::find(heads, head, &HeadRows::head) - heads.begin());
}
void Drop(Schedule& schedule, int to, const BlockItem& item) {
  for (int from = 0; from < schedule.ranks; ++from) {
    std::erase(schedule.before[0].items[from * schedule.ranks + to], item);
  }
}

TEST(ValidateTest, ErrorsInListsThatSendBlocksToSeveralRanksAreFound) {
  struct Damage {
    const char* words;
    std::function<void(Schedule&)> apply;
  };
  // Row 3 of head 1 needs columns 1 and 3 and is computed on rank 0. Row 2 needs columns 1 and 4
  // and is computed on rank 3.
  const std::vector<Damage> damages{
      {"K head 1 block 1 is not on the rank",
       [](Schedule& s) {
         Drop(s, 0, {Tensor::kK, 1, 1});
       }},
      {"V head 1 block 1 is not on the rank",
       [](Schedule& s) {
         Drop(s, 3, {Tensor::kV, 1, 1});
       }},
      {"1 blocks are not sent",
       [](Schedule& s) {
         Drop(s, 0, {Tensor::kQ, 1, 3});
       }},
      {"head 1 row 3: an active block is not computed",
       [](Schedule& s) {
         std::erase(s.rank[0].columns[0][HeadAt(s, 0, 1)].cols, 1);
         Drop(s, 0, {Tensor::kK, 1, 1});
         Drop(s, 0, {Tensor::kV, 1, 1});
       }},
      {"K head 0 block 0 is sent to a rank that does not use it",
       [](Schedule& s) {
         s.before[0].items[1].push_back({Tensor::kK, 0, 0});
       }},
      {"K head 1 block 1 is sent twice",
       [](Schedule& s) {
         auto& items = s.before[0].items[3];
         items.insert(items.begin(), {{Tensor::kK, 1, 1}, {Tensor::kK, 1, 1}});
       }},
      {"which does not have it",
       [](Schedule& s) {
         s.before[0].items[2 * 4 + 1].push_back({Tensor::kK, 1, 0});
       }},
      {"head 1 row 4 is computed nowhere",
       [](Schedule& s) { std::erase(s.rank[3].heads[HeadAt(s, 3, 1)].rows, 4); }},
      {"does not return home",
       [](Schedule& s) {
         const BlockItem row{Tensor::kO, 1, 4};  // without a key, yet its zeros must arrive
         for (std::size_t to = 0; to < 4; ++to) std::erase(s.after[0].items[3 * 4 + to], row);
         s.after[0].items[3 * 4].push_back(row);
       }},
      {"expected ascending heads",
       [](Schedule& s) {
         std::swap(s.rank[2].heads[0], s.rank[2].heads[1]);
         std::swap(s.rank[2].columns[0][0], s.rank[2].columns[0][1]);
       }},
  };
  for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
    const RandomCase made = Placed(exchange);
    ASSERT_EQ(
        CheckSchedule(made.layer.shape, made.layer.masks, made.home, ScheduleOf(made)).message(),
        "");
    for (const Damage& damage : damages) {
      SCOPED_TRACE(damage.words);
      Schedule schedule = ScheduleOf(made);
      damage.apply(schedule);
      EXPECT_THAT(CheckSchedule(made.layer.shape, made.layer.masks, made.home, schedule).message(),
                  HasSubstr(damage.words));
    }
  }
}

Plan SmallPlan() {
  const RandomCase made = Dense(Family::kDbsp);
  Plan plan;
  plan.ranks = 4;
  plan.shape = made.layer.shape;
  dbsp::testing::AddWorkload(plan, 5, 3);
  plan.layouts.emplace_back();
  plan.partitions = {made.partition};
  plan.strategies = {made.strategy};
  plan.predictions.emplace_back();
  for (int step = 2; step < 5; ++step) {
    for (int layer = 1; layer < 3; ++layer) plan.cells.push_back({step, layer, 0, 0});
  }
  return plan;
}

std::string ProblemOf(const Plan& plan) {
  try {
    ValidatePlan(plan, "p.json", ErrorCode::kCorruptInput);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptInput);
    return error.what();
  }
  return "";
}

TEST(ValidateTest, APlanOfARangeOfStepsAndLayersIsAccepted) {
  EXPECT_EQ(ProblemOf(SmallPlan()), "");
}

TEST(ValidateTest, AMissingCellIsNamed) {
  Plan plan = SmallPlan();
  plan.cells.erase(plan.cells.begin() + 3);
  EXPECT_THAT(ProblemOf(plan), HasSubstr("expected step 3 layer 2"));
  plan.cells.clear();
  EXPECT_THAT(ProblemOf(plan), HasSubstr("found none"));
}

TEST(ValidateTest, PlansOfNeededAndAllgatherMustNotHaveColumnOwners) {
  for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
    Plan plan = SmallPlan();
    plan.strategies[0].exchange = exchange;
    EXPECT_THAT(ProblemOf(plan), HasSubstr("col_owner given where no ring needs it"));
    plan.partitions[0] = WithoutColumns(plan.partitions[0]);
    EXPECT_EQ(ProblemOf(plan), "");
    plan.partitions[0] = Placed(exchange).partition;
    EXPECT_EQ(ProblemOf(plan), "");
    plan.strategies[0].exchange = Exchange::kAllToAll;
    EXPECT_THAT(ProblemOf(plan), HasSubstr("use ring, allgather or needed"));
    plan.strategies[0].exchange = Exchange::kRing;
    EXPECT_THAT(ProblemOf(plan), HasSubstr("col_owner has 0 entries"));
  }
}

TEST(ValidateTest, AStrategyThatCannotRunIsNamed) {
  Plan plan = SmallPlan();
  std::swap(plan.partitions[0].groups[0].ranks[0], plan.partitions[0].groups[0].ranks[1]);
  EXPECT_THAT(ProblemOf(plan), HasSubstr("strategies[0]"));
  plan = SmallPlan();
  plan.strategies[0].chunks = 2;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("partition 0 has 1 chunks of heads, found 2"));
  plan = SmallPlan();
  plan.partitions[0].groups[0].row_owner[0] = 5;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("no ring index"));
}

TEST(ValidateTest, ChunksOfHeadsAreCheckedOneByOne) {
  Plan plan = SmallPlan();
  plan.strategies[0].exchange = Exchange::kNeeded;
  plan.strategies[0].chunks = 2;
  plan.partitions[0] = WithoutColumns(plan.partitions[0]);
  plan.partitions[0].chunk_of_head.assign(plan.shape.heads, 0);
  plan.partitions[0].chunk_of_head.back() = 1;
  EXPECT_EQ(ProblemOf(plan), "");
  plan.partitions[0].chunk_of_head.back() = 2;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("chunk 1 has no head"));
  plan.partitions[0].chunk_of_head.pop_back();
  EXPECT_THAT(ProblemOf(plan), HasSubstr("chunk_of_head has"));
  plan = SmallPlan();
  plan.strategies[0].chunks = 2;
  plan.partitions[0].chunk_of_head.assign(plan.shape.heads, 0);
  plan.partitions[0].chunk_of_head.back() = 1;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("with exchange ring"));
}

TEST(ValidateTest, APlanHasOneTokenLayoutOfWholeUnits) {
  Plan plan = SmallPlan();
  plan.layouts.push_back(MakeLayout("strided:2", plan.shape));
  EXPECT_EQ(ProblemOf(plan), "");
  for (Strategy& strategy : plan.strategies) strategy.layout = 1;
  EXPECT_EQ(ProblemOf(plan), "");
  plan.layouts[1].block_order = {1, 0};
  EXPECT_THAT(ProblemOf(plan), HasSubstr("key 'layouts[1]'"));

  plan = SmallPlan();
  plan.layouts.push_back(MakeLayout("strided:2", plan.shape));
  Strategy other = plan.strategies[0];
  other.layout = 1;
  plan.strategies.push_back(other);
  plan.cells.back().strategy = static_cast<int>(plan.strategies.size()) - 1;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("orders its tokens once"));
}

TEST(ValidateTest, AHopThatBringsColumnsInAnotherOrderIsFound) {
  std::mt19937_64 random(6);
  int broken = 0;
  for (int trial = 0; trial < 300; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const auto& [shape, masks] = made.layer;
    Schedule schedule = BuildSchedule(shape, masks, made.partition, made.strategy, made.home);
    if (!schedule.chunk_of_head.empty()) continue;
    ASSERT_EQ(CheckSchedule(shape, masks, made.home, schedule).message(), "");
    for (RankSchedule& program : schedule.rank) {
      for (std::size_t t = 1; t < program.columns.size(); ++t) {
        for (HeadColumns& head : program.columns[t]) {
          if (head.cols.size() < 2) continue;
          std::swap(head.cols.front(), head.cols.back());
          EXPECT_THAT(CheckSchedule(shape, masks, made.home, schedule).message(),
                      HasSubstr("one step before, or from their order"));
          std::swap(head.cols.front(), head.cols.back());
          ++broken;
        }
      }
    }
  }
  EXPECT_GT(broken, 100);
}

TEST(ValidateTest, AnItemOfAnotherChunkIsFound) {
  std::mt19937_64 random(5);
  int broken = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    if (made.strategy.chunks == 1) continue;
    const auto& [shape, masks] = made.layer;
    Schedule schedule = BuildSchedule(shape, masks, made.partition, made.strategy, made.home);
    ASSERT_EQ(CheckSchedule(shape, masks, made.home, schedule).message(), "");
    std::swap(schedule.before[0], schedule.before[1]);
    EXPECT_NE(CheckSchedule(shape, masks, made.home, schedule).message(), "");
    ++broken;
  }
  EXPECT_GT(broken, 20);
}

TEST(ValidateTest, StrategiesOfOnePartitionAreCheckedOnceAndAPlanTooLargeToCheckIsRefused) {
  Plan plan = SmallPlan();
  plan.partitions.push_back(plan.partitions[0]);
  for (int i = 0; i < 20'000; ++i) {
    plan.strategies.push_back(plan.strategies[0]);
    plan.strategies.back().partition = i % 2;
  }
  EXPECT_EQ(ProblemOf(plan), "");
  // 65,536 ranks would need lists for four billion pairs of ranks.
  plan = SmallPlan();
  plan.ranks = 1 << 16;
  plan.partitions[0].ranks = plan.ranks;
  try {
    ValidatePlan(plan, "p.json", ErrorCode::kCorruptInput);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("p.json: key 'strategies[0]': this plan is too large"));
  }
}

TEST(ValidateTest, GroupsWithoutHeadsAreLegal) {
  RandomCase made = Dense(Family::kUsp);
  made.layer.shape.heads = 1;
  made.layer.masks.head.resize(1);
  Plan plan = SmallPlan();
  plan.shape = made.layer.shape;
  dbsp::testing::AddWorkload(plan, 5, 3);
  made.strategy.family = plan.strategies[0].family = Family::kUlysses;
  plan.strategies[0].ulysses_degree = 4;
  plan.strategies[0].ring_degree = 1;
  plan.strategies[0].exchange = Exchange::kAllToAll;
  plan.partitions[0] =
      MakePartition(Family::kUlysses, made.layer.shape, made.layer.masks, 4, 4, 1, made.home);
  EXPECT_EQ(ProblemOf(plan), "");
}

}  // namespace
}  // namespace dbsp::planner
