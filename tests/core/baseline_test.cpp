// SPDX-License-Identifier: Apache-2.0
#include "core/baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/small_plan.h"

namespace dbsp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Times with an interval of `half` on both sides.
BaselineTime Time(std::int64_t compute, std::int64_t exchange, double half = 0.1) {
  const auto total = static_cast<double>(compute + exchange);
  return {compute + exchange,
          static_cast<std::int64_t>(total * (1 - half)),
          static_cast<std::int64_t>(total * (1 + half)),
          compute,
          exchange};
}

Gain GainOf(const BaselineTime& plan, const BaselineTime& base, double model_error = 0) {
  GainSum sum;
  sum.Add(plan, 1, base, 1);
  return sum.Result(model_error);
}

TEST(BaselineTest, IsThePlainStrategyOnAllRanksAndNothingElse) {
  for (const Family family : kBaselineFamilies) {
    const Strategy plain = BaselineStrategy(family, 8);
    EXPECT_TRUE(IsBaseline(plain, family, 8));
    EXPECT_FALSE(IsBaseline(plain, family == Family::kRing ? Family::kUlysses : Family::kRing, 8));
    EXPECT_FALSE(IsBaseline(plain, family, 4));
    Strategy usp = plain;
    usp.family = Family::kUsp;
    EXPECT_TRUE(IsBaseline(usp, family, 8)) << "the same strategy under another name";
    Strategy kernel = plain;
    kernel.kernel = "another";
    kernel.partition = 3;
    EXPECT_TRUE(IsBaseline(kernel, family, 8));
    for (const auto change : std::vector<void (*)(Strategy&)>{
             [](Strategy& s) { s.cfg_degree = 2; },
             [](Strategy& s) { s.layout = 1; },
             [](Strategy& s) { s.chunks = 2; },
             [](Strategy& s) { s.exchange = Exchange::kNeeded; },
             [](Strategy& s) { s.exchange = Exchange::kAllGather; },
             [](Strategy& s) { s.family = Family::kDbsp; },
             [](Strategy& s) { s.ulysses_degree = s.ring_degree = 2; }}) {
      Strategy other = plain;
      change(other);
      EXPECT_FALSE(IsBaseline(other, family, 8));
    }
  }
}

TEST(BaselineTest, APlanOfOtherCostsWorkloadRanksOrStrategiesIsNoBaseline) {
  const Plan plan = testing::SmallPlan();  // plain ring on 2 ranks
  EXPECT_TRUE(IsBaselinePlan(plan, plan, Family::kRing));
  EXPECT_FALSE(IsBaselinePlan(plan, plan, Family::kUlysses));
  for (const auto change :
       std::vector<void (*)(Plan&)>{[](Plan& p) { p.costs = CostSource::kFitted; },
                                    [](Plan& p) { p.cluster = "h200x8"; },
                                    [](Plan& p) { p.database_hash = "beef"; },
                                    [](Plan& p) { p.workload_hash = "beef"; },
                                    [](Plan& p) { p.ranks = 4; },
                                    [](Plan& p) { p.passes = 1; },
                                    [](Plan& p) { p.cells.clear(); },
                                    [](Plan& p) { p.strategies[0].layout = 1; }}) {
    Plan other = plan;
    change(other);
    EXPECT_FALSE(IsBaselinePlan(other, plan, Family::kRing));
  }
}

TEST(GainTest, APlanAgainstItselfGainsExactlyNothing) {
  const Gain gain = GainOf(Time(900, 100, 0.5), Time(900, 100, 0.5), 0.2);
  EXPECT_EQ(gain.gain, 1);
  EXPECT_EQ(gain.low, 1);
  EXPECT_EQ(gain.high, 1);
  EXPECT_FALSE(gain.flip_chance);
  EXPECT_EQ(gain.verdict, GainVerdict::kSame);
}

TEST(GainTest, SharedErrorsMoveBothTimesSoThatOnlyDifferencesAreUncertain) {
  // Twice the compute with the same rates: 10% of the difference, which is the plan's whole time.
  const Gain gain = GainOf(Time(1000, 0), Time(2000, 0));
  EXPECT_DOUBLE_EQ(gain.gain, 2);
  EXPECT_NEAR(gain.low.value(), 1.9, 1e-9);
  EXPECT_NEAR(gain.high.value(), 2.1, 1e-9);
  EXPECT_EQ(gain.verdict, GainVerdict::kFaster);
  EXPECT_LT(gain.flip_chance.value(), 1e-6);
  const Gain back = GainOf(Time(2000, 0), Time(1000, 0));
  EXPECT_EQ(back.verdict, GainVerdict::kSlower);
  // Differences that cancel are uncertain, too: 10% of 500 + 450.
  const Gain close = GainOf(Time(1000, 500), Time(1500, 50));
  EXPECT_NEAR(close.high.value() - close.gain, 95.0 / 1500, 1e-9);
  EXPECT_EQ(close.verdict, GainVerdict::kAmbiguous);
  EXPECT_GT(close.flip_chance.value(), 0.1);
  EXPECT_LT(close.flip_chance.value(), 0.5);
}

TEST(GainTest, TheModelsOwnErrorCountsForBothSides) {
  const BaselineTime plan = Time(1000, 0, 0);
  const BaselineTime base = Time(1100, 0, 0);
  EXPECT_EQ(GainOf(plan, base, 0).verdict, GainVerdict::kFaster);
  const Gain gain = GainOf(plan, base, 0.06745);  // a standard deviation of 10% each
  EXPECT_NEAR(gain.high.value() - gain.gain, 1.645 * std::hypot(0.1, 0.11), 1e-3);
  EXPECT_EQ(gain.verdict, GainVerdict::kAmbiguous);
  EXPECT_NEAR(gain.flip_chance.value(), 0.25, 0.01);
}

TEST(GainTest, CellsThatRunTheSameOperationsHaveNoModelError) {
  GainSum sum;
  sum.Add(Time(1000, 0, 0), 99, Time(1000, 0, 0), 99);
  sum.Add(Time(1000, 0, 0), 1, Time(1500, 0, 0), 1);
  const Gain gain = sum.Result(0.06745);
  EXPECT_NEAR(gain.high.value() - gain.gain, 1.645 * std::hypot(0.1, 0.15) / 100, 1e-4);
}

TEST(GainTest, BelowTwoPercentIsTheSame) {
  EXPECT_EQ(PlainGain(1010, 1000).verdict, GainVerdict::kSame);
  EXPECT_EQ(PlainGain(990, 1000).verdict, GainVerdict::kSame);
  EXPECT_EQ(PlainGain(1030, 1000).verdict, GainVerdict::kFaster);
  EXPECT_EQ(PlainGain(970, 1000).verdict, GainVerdict::kSlower);
}

TEST(GainTest, APlansOwnBaselineCountsItsPassesOneAfterTheOther) {
  Plan plan = testing::SmallPlan();  // 3 cells of 20 ns, 2 passes
  plan.baselines = {{Family::kRing, 1, 2, {{50, 50}}, 1, {{30, 30, 30, 30, 0}}}};
  EXPECT_DOUBLE_EQ(GainOver(plan, plan.baselines[0]).value().gain, 1.5);
  plan.strategies[0].cfg_degree = 2;  // both passes at the same time
  const Gain gain = GainOver(plan, plan.baselines[0]).value();
  EXPECT_DOUBLE_EQ(gain.plan_ns, 3 * 20);
  EXPECT_DOUBLE_EQ(gain.baseline_ns, 3 * 2 * 30);
  plan.baselines[0].cfg_degree = 2;  // as older versions stored it
  EXPECT_FALSE(GainOver(plan, plan.baselines[0]));
  plan.baselines[0].cfg_degree = 1;
  plan.baselines[0].times.clear();
  EXPECT_FALSE(GainOver(plan, plan.baselines[0]));
}

TEST(GainTest, TextSaysGainIntervalVerdictAndChance) {
  const std::string text = GainText(GainOf(Time(1000, 500), Time(1500, 50)), Family::kUlysses);
  EXPECT_THAT(text, HasSubstr("1.033x the speed of plain ulysses [0.970, 1.097], ambiguous"));
  EXPECT_THAT(text, HasSubstr("chance of the other order 19"));
  EXPECT_THAT(GainText(PlainGain(20, 10), Family::kRing), Not(HasSubstr("chance")));
}

}  // namespace
}  // namespace dbsp
