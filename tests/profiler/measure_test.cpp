// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/error.h"
#include "core/statistics.h"
#include "profiler/duration.h"

namespace dbsp::profiler {
namespace {

/// A clock that moves only by the runs themselves, and runs whose times are drawn.
struct Bench {
  std::int64_t time_ns = 1000;
  int runs = 0;
  std::function<Reading(int)> draw;
  int stop_after = -1;

  Measurement Run(const MeasureLimits& limits) {
    return Measure(
        limits,
        [this] {
          const Reading reading = draw(runs++);
          time_ns += reading.duration_ns;
          return reading;
        },
        [this] { return time_ns; },
        [this] { return runs == stop_after; });
  }
};

Bench Steady(std::int64_t ns) {
  return {.draw = [ns](int) { return Reading{ns, false}; }};
}

Bench Noisy(double relative, std::uint64_t seed) {
  return {.draw = [relative, random = std::mt19937_64(seed)](int) mutable {
    std::normal_distribution<double> noise(1e6, 1e6 * relative);
    return Reading{std::max<std::int64_t>(1, std::llround(noise(random))), false};
  }};
}

TEST(MeasureTest, StopsAtTheFewestSamplesWhenNothingVaries) {
  Bench bench = Steady(100);
  const Measurement m = bench.Run({.warmups = 3, .min_samples = 6});
  EXPECT_EQ(m.stop_reason, "spread");
  EXPECT_EQ(m.samples_ns, std::vector<std::int64_t>(6, 100));
  EXPECT_EQ(m.warmups, 3);
  EXPECT_EQ(bench.runs, 9);
  EXPECT_EQ(m.detail, "");
}

TEST(MeasureTest, TakesMoreSamplesTheNoisierItGets) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    SCOPED_TRACE(seed);
    const MeasureLimits limits{
        .min_samples = 10, .max_samples = 100'000, .budget_ns = INT64_MAX / 4};
    const Measurement quiet = Noisy(0.01, seed).Run(limits);
    const Measurement loud = Noisy(0.2, seed).Run(limits);
    EXPECT_EQ(loud.stop_reason, "spread");
    EXPECT_GT(loud.samples_ns.size(), quiet.samples_ns.size());
    EXPECT_LE(RelativeMedianError(loud.samples_ns), limits.target_spread);
  }
}

TEST(MeasureTest, ABudgetEndsItWithWhatThereIs) {
  Bench bench = Noisy(0.5, 1);
  const Measurement m = bench.Run({.max_samples = 1000, .budget_ns = 20'000'000});
  EXPECT_EQ(m.stop_reason, "budget");
  EXPECT_GT(m.samples_ns.size(), 5U);
  EXPECT_LT(m.samples_ns.size(), 60U);
}

TEST(MeasureTest, ASlowTrialTakesThreeSamplesWhenTheRunHasTime) {
  const MeasureLimits limits{.budget_ns = 1'500'000, .deadline_ns = 100'000'000};
  const Measurement m = Noisy(0.2, 4).Run(limits);
  EXPECT_EQ(m.samples_ns.size(), 3U);
  EXPECT_EQ(m.warmups, 1);
  EXPECT_EQ(m.stop_reason, "budget");
}

TEST(MeasureTest, NothingIsStartedThatWouldEndAfterTheRun) {
  // The clock starts at 1000: a warm-up and two samples of 1 ms fit into 3.5 ms, a third does not.
  Bench bench = Steady(1'000'000);
  const Measurement m = bench.Run({.warmups = 1, .budget_ns = 2'000'000, .deadline_ns = 3'500'000});
  EXPECT_EQ(m.samples_ns.size(), 2U);
  EXPECT_EQ(m.stop_reason, "run_budget");
  EXPECT_LE(bench.time_ns, 3'500'000);
}

TEST(MeasureTest, TheRunsEndIsAnOrdinaryEndForATrialWithSamples) {
  const Measurement m = Steady(1'000'000).Run({.warmups = 0, .deadline_ns = 4'500'000});
  EXPECT_EQ(m.samples_ns.size(), 4U);
  EXPECT_EQ(m.stop_reason, "budget");
}

TEST(MeasureTest, EvenASpentRunGivesOneSample) {
  Bench bench = Steady(1'000'000);
  const Measurement m = bench.Run({.budget_ns = 0, .deadline_ns = 0});
  EXPECT_EQ(m.samples_ns.size(), 1U);
  EXPECT_EQ(m.stop_reason, "run_budget");
  EXPECT_EQ(bench.runs, 1);
}

TEST(CallsPerSampleTest, FillTheShortestSampleWithoutMuchMore) {
  for (const std::int64_t each : {1, 40, 999, 20'000, 49'999}) {
    const int calls = CallsPerSample([&](int count) { return each * count; });
    EXPECT_GE(each * calls, kShortestSampleNs);
    EXPECT_LE(each * calls, 3 * kShortestSampleNs) << each;
  }
}

TEST(CallsPerSampleTest, LongCallsAreAskedForOnceAndColdOnesTwice) {
  int asked = 0;
  EXPECT_EQ(CallsPerSample([&](int) { return ++asked, 300'000'000; }), 1);
  EXPECT_EQ(asked, 1);
  // A first call of 60 us that is 1 us once warm.
  EXPECT_GT(CallsPerSample([&](int count) { return ++asked == 2 ? 60'000 : 1000 * count; }), 40);
}

TEST(CallsPerSampleTest, AClockThatStandsStillEndsIt) {
  EXPECT_EQ(CallsPerSample([](int) { return 0; }), 1 << 16);
}

TEST(MeasureTest, TheMostSamplesAreALimit) {
  EXPECT_EQ(Noisy(0.9, 3).Run({.max_samples = 20}).stop_reason, "max_samples");
}

TEST(MeasureTest, DisturbedSamplesAreDiscardedAndCounted) {
  Bench bench{.draw = [](int run) { return Reading{run % 2 == 0 ? 100 : 900, run % 2 == 1}; }};
  const Measurement m = bench.Run({.warmups = 0, .min_samples = 4});
  EXPECT_EQ(m.samples_ns, std::vector<std::int64_t>(4, 100));
  EXPECT_EQ(m.discarded, 3);
  EXPECT_EQ(m.detail, "3 samples discarded: preempted");
}

TEST(MeasureTest, WhereEverySampleIsDisturbedTheyAreKeptAndItIsSaid) {
  Bench bench{.draw = [](int) { return Reading{100, true}; }};
  const Measurement m = bench.Run({.warmups = 0, .min_samples = 5});
  EXPECT_EQ(m.discarded, kMaxDiscards);
  EXPECT_EQ(m.samples_ns.size(), 5U);
  EXPECT_NE(m.detail.find("5 more preempted ones kept"), std::string::npos) << m.detail;
}

TEST(MeasureTest, AnOutlierIsKeptAndDoesNotStopTheMedianFromSettling) {
  Bench bench{.draw = [](int run) { return Reading{run == 3 ? 1'000'000 : 100, false}; }};
  const Measurement m = bench.Run({.warmups = 0, .min_samples = 9});
  EXPECT_EQ(m.stop_reason, "spread");
  EXPECT_EQ(m.samples_ns[3], 1'000'000);
}

TEST(MeasureTest, AnInterruptEndsItAtOnce) {
  Bench bench = Noisy(0.5, 2);
  bench.stop_after = 4;
  EXPECT_EQ(bench.Run({}).stop_reason, "interrupted");
  EXPECT_EQ(bench.runs, 4);
}

TEST(MeasureTest, ImpossibleLimitsAreRefused) {
  EXPECT_THROW((void)Steady(1).Run({.min_samples = 0}), Error);
  EXPECT_THROW((void)Steady(1).Run({.min_samples = 9, .max_samples = 8}), Error);
}

TEST(DurationTest, ReadsUnitsAndRefusesTheRest) {
  EXPECT_EQ(ParseDurationNs("500ms", "--budget"), 500'000'000);
  EXPECT_EQ(ParseDurationNs("60s", "--budget"), 60'000'000'000);
  EXPECT_EQ(ParseDurationNs("1.5m", "--budget"), 90'000'000'000);
  EXPECT_EQ(ParseDurationNs("2", "--budget"), 2'000'000'000);
  for (const char* bad : {"", "s", "-1s", "0", "1x", "nan", "inf", "1e99s", "1 s"}) {
    EXPECT_THROW((void)ParseDurationNs(bad, "--budget"), Error) << bad;
  }
}

}  // namespace
}  // namespace dbsp::profiler
