// SPDX-License-Identifier: Apache-2.0
#include "core/strategy_name.h"

#include <gtest/gtest.h>

namespace dbsp {
namespace {

Strategy Make(Family family, int ulysses, int ring, Exchange exchange = Exchange::kAllToAll) {
  Strategy strategy;
  strategy.family = family;
  strategy.ulysses_degree = ulysses;
  strategy.ring_degree = ring;
  strategy.exchange = exchange;
  return strategy;
}

TEST(StrategyNameTest, FamilyThenDegreesThenWhatIsUnusual) {
  Strategy strategy = Make(Family::kBalanced, 4, 1);
  EXPECT_EQ(NameOf(strategy, "given"), "balanced U4xR1");
  strategy.cfg_degree = 2;
  strategy.chunks = 2;
  EXPECT_EQ(NameOf(strategy, "given"), "balanced C2 U4xR1, 2 chunks");
  strategy.layout = 1;
  strategy.exchange = Exchange::kNeeded;
  EXPECT_EQ(NameOf(strategy, "strided:8"), "balanced C2 U4xR1 needed, 2 chunks, layout strided:8");
}

TEST(StrategyNameTest, UlyssesAndRingHaveOneDegree) {
  EXPECT_EQ(NameOf(Make(Family::kUlysses, 8, 1), ""), "ulysses U8");
  EXPECT_EQ(NameOf(Make(Family::kRing, 1, 8, Exchange::kRing), ""), "ring R8");
  EXPECT_EQ(NameOf(Strategy{}, ""), "ulysses U1");
  // Degrees that such a family never has are not hidden.
  EXPECT_EQ(NameOf(Make(Family::kUlysses, 4, 2, Exchange::kRing), ""), "ulysses U4xR2");
}

TEST(StrategyNameTest, TheUsualExchangeIsNotRepeated) {
  EXPECT_EQ(NameOf(Make(Family::kPlaced, 8, 1, Exchange::kNeeded), ""), "placed U8xR1");
  EXPECT_EQ(NameOf(Make(Family::kPlaced, 8, 1), ""), "placed U8xR1 alltoall");
  EXPECT_EQ(NameOf(Make(Family::kUsp, 4, 2, Exchange::kAllGather), ""), "usp U4xR2 allgather");
}

/// Strategies 0 and 2 differ in their partitions only; 1 has another kernel.
Plan SomePlan() {
  Plan plan;
  plan.layouts = {{"given", {}}};
  plan.strategies.assign(3, Make(Family::kUlysses, 4, 1));
  plan.strategies[1].kernel = "k";
  plan.strategies[2].partition = 1;
  plan.strategies.push_back(Make(Family::kRing, 1, 4, Exchange::kRing));
  for (const int strategy : {1, 2, 0}) {
    PlanCell cell;
    cell.step = static_cast<int>(plan.cells.size());
    cell.strategy = strategy;
    plan.cells.push_back(cell);
  }
  return plan;
}

TEST(StrategyNameTest, KernelsAreNamedOnlyWhereNothingElseDiffers) {
  const Plan plan = SomePlan();
  const StrategyTable table = MakeStrategyTable(plan);
  EXPECT_EQ(table.of, (std::vector<int>{0, 1, 0, 2}));
  EXPECT_EQ(
      NamesOf(table, plan),
      (std::vector<std::string>{"ulysses U4, kernel default", "ulysses U4, kernel k", "ring R4"}));
}

TEST(StrategyNameTest, StrategiesInUseAreOrderedByCells) {
  const auto uses = StrategiesInUse(SomePlan());
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].name, "ulysses U4, kernel default");
  EXPECT_EQ(uses[0].cells, 2);
  EXPECT_EQ(uses[1].name, "ulysses U4, kernel k");
  EXPECT_EQ(uses[1].cells, 1);
  EXPECT_TRUE(StrategiesInUse(Plan{}).empty());
}

TEST(StrategyNameTest, ALayoutThatThePlanDoesNotHaveIsUnknown) {
  const Plan plan = SomePlan();
  Strategy strategy = Make(Family::kUlysses, 4, 1);
  strategy.layout = 3;
  EXPECT_EQ(NameOf(strategy, plan), "ulysses U4, layout unknown");
}

}  // namespace
}  // namespace dbsp
