// SPDX-License-Identifier: Apache-2.0
#include "planner/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/file.h"
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
    ASSERT_EQ(ScheduleProblem(made.layer.shape, made.layer.masks, made.home, ScheduleOf(made)), "");
  }
}

/// usp or dbsp, 2 x 2 ranks, 3 heads of 7 x 7 blocks, everything kept.
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

/// A list of the round that is not empty.
std::vector<BlockItem>& SomeItems(ExchangeRound& round) {
  return *std::ranges::find_if(round.items, [](const auto& items) { return !items.empty(); });
}

TEST(ValidateTest, EveryKindOfDamageIsFound) {
  struct Damage {
    const char* words;
    std::function<void(Schedule&)> apply;
  };
  const std::vector<Damage> damages{
      {"not sent", [](Schedule& s) { SomeItems(s.before[0]).pop_back(); }},
      {"sent twice",
       [](Schedule& s) {
         auto& items = SomeItems(s.before[0]);
         items.push_back(items.back());
       }},
      {"has it", [](Schedule& s) { std::swap(s.before[0].items[0], s.before[0].items[4]); }},
      {"not sent", [](Schedule& s) { SomeItems(s.after.back()).pop_back(); }},
      {"computed nowhere", [](Schedule& s) { s.rank[0].heads[0].rows.pop_back(); }},
      {"computed twice",
       [](Schedule& s) {
         auto& rows = s.rank[0].heads[0].rows;
         rows.push_back(rows.front());
       }},
      {"kept block is not computed", [](Schedule& s) { s.rank[0].columns[1][0].cols.pop_back(); }},
      {"used twice",
       [](Schedule& s) {
         auto& cols = s.rank[0].columns[0][0].cols;
         cols.push_back(cols.front());
       }},
      {"not at hand", [](Schedule& s) { std::swap(s.rank[0].columns[0], s.rank[0].columns[1]); }},
      {"not at hand", [](Schedule& s) { s.rank[2].ring_next = 3, s.rank[0].ring_next = 1; }},
      {"same heads", [](Schedule& s) { s.rank[1].columns[0].clear(); }},
      {"does not exist", [](Schedule& s) { s.rank[1].heads[0].head = 99; }},
      {"ring steps", [](Schedule& s) { s.rank[1].columns.pop_back(); }},
      {"no block", [](Schedule& s) { SomeItems(s.before[0]).front().block = 7; }},
  };
  for (const Family family : {Family::kUsp, Family::kDbsp}) {
    const RandomCase made = Dense(family);
    for (const Damage& damage : damages) {
      SCOPED_TRACE(damage.words);
      Schedule schedule = ScheduleOf(made);
      damage.apply(schedule);
      EXPECT_THAT(ScheduleProblem(made.layer.shape, made.layer.masks, made.home, schedule),
                  HasSubstr(damage.words));
    }
  }
}

Plan SmallPlan() {
  const RandomCase made = Dense(Family::kDbsp);
  Plan plan;
  plan.workload_json = "{}";
  plan.workload_hash = HashBytes(plan.workload_json);
  plan.ranks = 4;
  plan.shape = made.layer.shape;
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

TEST(ValidateTest, AStrategyThatCannotRunIsNamed) {
  Plan plan = SmallPlan();
  std::swap(plan.partitions[0].groups[0].ranks[0], plan.partitions[0].groups[0].ranks[1]);
  EXPECT_THAT(ProblemOf(plan), HasSubstr("strategies[0]"));
  plan = SmallPlan();
  plan.strategies[0].chunks = 2;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("chunks = 2 is not built"));
  plan = SmallPlan();
  plan.partitions[0].groups[0].row_owner[0] = 5;
  EXPECT_THAT(ProblemOf(plan), HasSubstr("no ring index"));
}

TEST(ValidateTest, GroupsWithoutHeadsAreLegal) {
  RandomCase made = Dense(Family::kUsp);
  made.layer.shape.heads = 1;
  made.layer.masks.head.resize(1);
  Plan plan = SmallPlan();
  plan.shape = made.layer.shape;
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
