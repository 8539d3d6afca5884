// SPDX-License-Identifier: Apache-2.0
// The verdict in words, one sentence per question, for every outcome of a comparison.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "core/json.h"
#include "reports/document.h"
#include "tests/reports/fixture.h"

namespace dbsp::reports {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

std::map<std::string, std::string> Words(const ReportInputs& inputs) {
  const Json document = Json::parse(ReportDocument(inputs));
  std::map<std::string, std::string> words;
  for (const Json& one : document["plans"][0]["verdict"]["sentences"]) {
    words[one["topic"]] = one["text"];
  }
  return words;
}

/// The fixture with plain ulysses `factor` times as long as the plan, within `half` on both sides.
ReportInputs WithGain(double factor, double half) {
  ReportInputs inputs = FixtureInputs();
  Plan& plan = inputs.plans[0].plan;
  plan.fits.clear();
  plan.close_calls.emplace();
  plan.cells.resize(1);
  for (Prediction& p : plan.predictions) {
    p.total_ns = p.compute_ns = 1'000'000;
    p.exchange_ns = 0;
    p.low_ns = static_cast<std::int64_t>(1e6 * (1 - half));
    p.high_ns = static_cast<std::int64_t>(1e6 * (1 + half));
    p.segments.clear();
  }
  for (Baseline& baseline : plan.baselines) {
    for (BaselineTime& t : baseline.times) {
      const double ns = factor * 1e6;
      // Compute and exchange differ in opposite directions, so that an interval is left.
      t = {std::llround(ns),
           std::llround(ns * (1 - half)),
           std::llround(ns * (1 + half)),
           std::llround(ns / 2),
           std::llround(ns) - std::llround(ns / 2)};
    }
  }
  inputs.replays.clear();
  return inputs;
}

TEST(SentencesTest, FasterSlowerSameAndAmbiguousHaveSentencesOfTheirOwn) {
  EXPECT_THAT(
      Words(WithGain(1.5, 0.01))["answer"],
      StartsWith("Attention takes 2 ms for the planned 1 of 6 cells of a video instead of 3 "
                 "ms with plain ulysses: 1.50× [1."));
  EXPECT_THAT(Words(WithGain(0.7, 0.01))["answer"],
              MatchesRegex("The plan is slower: .* 1\\.4 ms with plain ulysses .*Run plain "
                           "ulysses\\."));
  EXPECT_THAT(Words(WithGain(1.01, 0.01))["answer"],
              MatchesRegex("There is nothing to gain: .*1\\.01.*Keep what you have\\."));
  EXPECT_THAT(Words(WithGain(1.05, 0.3))["answer"],
              MatchesRegex("It is not known which is faster: .*The order is the other one with a "
                           "chance of .*%\\. Replay both plans before you change anything\\."));
}

TEST(SentencesTest, AWholeVideoIsCalledOne) {
  EXPECT_THAT(Words(FixtureInputs())["answer"], HasSubstr(" per video"));
}

TEST(SentencesTest, WithoutABaselineTheReasonStandsInPlaceOfAGain) {
  ReportInputs inputs = FixtureInputs();
  inputs.compares.clear();
  inputs.other_plans.clear();
  for (Baseline& baseline : inputs.plans[0].plan.baselines) {
    baseline.times.clear();
    baseline.missing = "no hop between 4 ranks was measured";
  }
  const auto words = Words(inputs);
  EXPECT_THAT(words.at("answer"),
              HasSubstr("No gain over plain ulysses is known: no hop between 4 ranks"));
  EXPECT_FALSE(words.contains("why"));
}

TEST(SentencesTest, ADegreeOfOneDividesNothing) {
  ReportInputs inputs = FixtureInputs();
  for (Strategy& strategy : inputs.plans[0].plan.strategies) {
    if (strategy.family != Family::kDbsp) continue;
    strategy.ulysses_degree = 4;
    strategy.ring_degree = 1;
  }
  EXPECT_THAT(Words(inputs).at("run"), HasSubstr(": heads in 4 groups by db-SP's greedy rule."));
}

TEST(SentencesTest, SayWhatToRunWhyWhatIsLeftAndHowSure) {
  const auto words = Words(FixtureInputs());
  EXPECT_THAT(words.at("run"),
              HasSubstr("dbsp U2xR2 in 4 of 6 cells: heads in 2 groups, rows in 2 parts"));
  EXPECT_THAT(words.at("run"), HasSubstr("1 other strategy runs elsewhere."));
  EXPECT_THAT(words.at("why"),
              StartsWith("Under plain ulysses the ranks do not wait for each other; "));
  EXPECT_THAT(words.at("left"), StartsWith("No plan is predicted below "));
  EXPECT_THAT(words.at("sure"), HasSubstr("err by 3.0% on measurements left out"));
  EXPECT_THAT(words.at("sure"), HasSubstr("1 of 6 cells are close calls."));
  EXPECT_THAT(words.at("sure"),
              HasSubstr("The times of replay 2 are no evidence (oversubscribed)."));
}

TEST(SentencesTest, AReplayOnTheDevicesIsEvidence) {
  ReportInputs inputs = FixtureInputs();
  inputs.environments[0].provenance.cores = kFixtureRanks;
  EXPECT_THAT(Words(inputs)["sure"],
              HasSubstr("Replay 2 (replayed) took +25.0% against the prediction"));
}

TEST(SentencesTest, AStrategyIsDescribedByTheExchangeThatItUses) {
  ReportInputs inputs = FixtureInputs();
  Plan& plan = inputs.plans[0].plan;
  EXPECT_THAT(Words(inputs)["run"], HasSubstr("K and V travel round a ring"));
  for (Strategy& strategy : plan.strategies) strategy.exchange = Exchange::kNeeded;
  EXPECT_THAT(Words(inputs)["run"], HasSubstr("K and V blocks go to the ranks that use them"));
}

TEST(SentencesTest, WhatToRunAndWhatNextAgreeWithTheAnswer) {
  const auto run = [](double factor, double half) { return Words(WithGain(factor, half))["run"]; };
  const auto next = [](double factor, double half) {
    return Words(WithGain(factor, half))["next"];
  };
  EXPECT_THAT(run(1.5, 0.01), StartsWith("Run ulysses U4 in 1 of 1 cells"));
  EXPECT_THAT(run(0.7, 0.01), StartsWith("Keep plain ulysses. The plan runs"));
  EXPECT_THAT(run(1.01, 0.01), StartsWith("Keep plain ulysses. The plan runs"));
  EXPECT_THAT(run(1.05, 0.3), StartsWith("Run "));
  EXPECT_THAT(next(1.5, 0.01), HasSubstr("dbsp-replay plan.json --db p.db --verify"));
  EXPECT_EQ(next(0.7, 0.01), "Nothing: keep plain ulysses.");
  EXPECT_EQ(next(1.01, 0.01), "Nothing: keep plain ulysses.");
  EXPECT_THAT(next(1.05, 0.3), HasSubstr("dbsp-tune --plain --families ulysses --db p.db"));
}

TEST(SentencesTest, TheNextCommandFollowsFromWhatIsKnown) {
  ReportInputs inputs = WithGain(1.5, 0.01);
  inputs.plans[0].name = "my plan's.json";
  EXPECT_THAT(Words(inputs)["next"], HasSubstr("dbsp-replay 'my plan'\\''s.json' --db"));
  inputs.environments[0].provenance.cores = kFixtureRanks;  // replayed on its devices, verified
  ReplayRecord replay = ReplayOf(inputs.plans[0].plan, 1.0);
  replay.plan_hash = inputs.plans[0].hashes[0];
  inputs.replays = {{2, 1, replay}};
  EXPECT_THAT(Words(inputs)["next"], StartsWith("Use my plan's.json"));
  ReportInputs failed = inputs;
  failed.replays[0].replay.passed = false;
  EXPECT_THAT(Words(failed)["next"], HasSubstr("Do not use this plan"));
  ReportInputs stale = inputs;
  stale.measurement_hash = "another";
  EXPECT_THAT(Words(stale)["next"], HasSubstr("dbsp-tune --db p.db"));
  ReportInputs analytic = inputs;
  analytic.plans[0].plan.database_hash = "";
  EXPECT_THAT(Words(analytic)["next"], HasSubstr("dbsp-profile --db p.db --ranks 4"));
}

}  // namespace
}  // namespace dbsp::reports
