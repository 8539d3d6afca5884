// SPDX-License-Identifier: Apache-2.0
#include "profiler/sample_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dbsp::profiler {
namespace {

using ::testing::ElementsAre;

/// A loop whose clock advances only by the runs, and which logs the order of candidates.
struct Loop {
  std::int64_t now_ns = 0;
  std::string order = {};
  int interrupt_after = -1;  ///< runs until the interrupt; -1 = never

  std::function<TimedRun()> Candidate(char name, std::int64_t ns, bool disturbed = false) {
    return [this, name, ns, disturbed] {
      order += name;
      now_ns += ns;
      return TimedRun{static_cast<double>(ns), disturbed};
    };
  }
  std::vector<SampleSeries> Run(const LoopRules& rules,
                                const std::vector<std::function<TimedRun()>>& candidates) {
    return RunSampleLoop(
        rules,
        candidates,
        [this] { return now_ns; },
        [this] { return static_cast<int>(order.size()) == interrupt_after; });
  }
};

TEST(SampleLoopTest, ACandidateAtItsGoalIsSampledUntilAllAreFinished) {
  Loop loop;
  LoopRules rules;
  rules.goals = {{"long enough", [](const LoopState& s) { return s.series.sampling_ns >= 40; }}};
  const auto series = loop.Run(rules, {loop.Candidate('a', 10), loop.Candidate('b', 40)});
  EXPECT_EQ(loop.order, "abababab");
  EXPECT_EQ(series[0].stop_reason, "long enough");
  EXPECT_THAT(series[1].samples_ns, ElementsAre(40, 40, 40, 40));
}

TEST(SampleLoopTest, ALimitEndsSamplingAfterOneSampleOfEveryCandidate) {
  Loop loop;
  LoopRules rules;
  rules.limits = {BudgetRule(15)};
  const auto series =
      loop.Run(rules, {loop.Candidate('a', 10), loop.Candidate('b', 20), loop.Candidate('c', 30)});
  EXPECT_EQ(loop.order, "abc");
  for (const SampleSeries& one : series) EXPECT_EQ(one.stop_reason, "budget");
}

TEST(SampleLoopTest, TheFirstRuleThatHoldsIsTheReason) {
  Loop loop;
  LoopRules rules;
  rules.goals = {SampleCountRule(3),
                 {"never first", [](const LoopState& s) { return s.taken() >= 3; }}};
  rules.limits = {BudgetRule(30)};
  EXPECT_EQ(loop.Run(rules, {loop.Candidate('a', 10)})[0].stop_reason, "max_samples");
}

TEST(SampleLoopTest, WarmUpsAndDiscardedRunsAreNoSamples) {
  Loop loop;
  LoopRules rules;
  rules.may_warm_up = [](const LoopState& s) { return s.series.warmups < 2; };
  rules.may_discard = [](const LoopState& s) { return s.series.discarded_ns.size() < 3; };
  rules.goals = {SampleCountRule(2)};
  const auto series = loop.Run(rules, {loop.Candidate('a', 10, true)});
  EXPECT_EQ(series[0].warmups, 2);
  EXPECT_THAT(series[0].discarded_ns, ElementsAre(10, 10, 10));
  EXPECT_THAT(series[0].samples_ns, ElementsAre(10, 10));
  EXPECT_EQ(series[0].disturbed_kept, 2);
  EXPECT_EQ(series[0].sampling_ns, 50);
}

TEST(SampleLoopTest, AnInterruptKeepsTheReasonsOfFinishedCandidates) {
  Loop loop;
  loop.interrupt_after = 3;
  LoopRules rules;
  rules.goals = {{"long enough", [](const LoopState& s) { return s.series.sampling_ns >= 40; }}};
  const auto series = loop.Run(rules, {loop.Candidate('a', 40), loop.Candidate('b', 10)});
  EXPECT_EQ(loop.order, "aba");
  EXPECT_EQ(series[0].stop_reason, "long enough");
  EXPECT_EQ(series[1].stop_reason, "interrupted");
}

}  // namespace
}  // namespace dbsp::profiler
