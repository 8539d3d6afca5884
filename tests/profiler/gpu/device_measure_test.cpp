// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_measure.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "core/error.h"
#include "core/statistics.h"
#include "tests/core/expect_error.h"

namespace dbsp::profiler {
namespace {

/// A device whose clock advances only by its runs.
class FakeDevice {
 public:
  [[nodiscard]] std::function<std::int64_t()> clock() {
    return [this] { return now_; };
  }
  /// A candidate whose runs take `ns` on average, with relative standard deviation `noise`.
  DeviceCandidate Candidate(const std::string& name, double ns, double noise) {
    return {name, [this, name, ns, noise] {
              order_ += name;
              const double took = ns * (1.0 + noise * normal_(random_));
              now_ += static_cast<std::int64_t>(took);
              return DeviceReading{took, 1.0};
            }};
  }
  [[nodiscard]] const std::string& order() const { return order_; }
  void Spend(std::int64_t ns) { now_ += ns; }

 private:
  std::int64_t now_ = 0;
  std::string order_;
  std::mt19937 random_{7};
  std::normal_distribution<double> normal_;
};

TEST(DeviceMeasureTest, AllCandidatesAreSampledInTurnToTheEnd) {
  FakeDevice device;
  DeviceLimits limits;
  limits.min_time_ns = 20'000'000;
  const auto results =
      MeasureInTurns(limits,
                     {device.Candidate("a", 1e6, 0.001), device.Candidate("b", 5e6, 0.001)},
                     device.clock());
  ASSERT_EQ(results.size(), 2U);
  for (std::size_t i = 0; i < device.order().size(); ++i) {
    ASSERT_EQ(device.order()[i], i % 2 == 0 ? 'a' : 'b') << i;
  }
  // "b" was finished much earlier, and was still sampled together with "a".
  EXPECT_EQ(results[0].samples_ns.size(), results[1].samples_ns.size());
  EXPECT_EQ(results[0].stop_reason, "noise");
  EXPECT_EQ(results[1].stop_reason, "noise");
  EXPECT_NEAR(Median(results[1].samples_ns), 5e6, 5e4);
}

TEST(DeviceMeasureTest, SamplesWithoutNoiseStopOnlyAfterTheLeastTime) {
  FakeDevice device;
  DeviceLimits limits;
  limits.min_time_ns = 100'000'000;
  const auto results = MeasureInTurns(limits, {device.Candidate("a", 1e6, 0.0)}, device.clock());
  EXPECT_EQ(results[0].samples_ns.size(), 100U);
}

TEST(DeviceMeasureTest, SamplingStopsWhenTheNoiseNoLongerChanges) {
  FakeDevice device;
  DeviceLimits limits;
  limits.min_time_ns = 0;
  const auto results = MeasureInTurns(limits, {device.Candidate("a", 1e6, 0.05)}, device.clock());
  EXPECT_EQ(results[0].stop_reason, "stable");
  EXPECT_GE(results[0].samples_ns.size(), 32U);
  EXPECT_GT(RelativeDeviation(results[0].samples_ns), 0.03);
}

TEST(DeviceMeasureTest, TimeNumberOfSamplesAndBudgetAreLimits) {
  FakeDevice device;
  DeviceLimits limits;
  limits.min_time_ns = limits.max_time_ns = 50'000'000;
  limits.target_noise = 0.0;
  auto results = MeasureInTurns(limits, {device.Candidate("a", 1e6, 0.3)}, device.clock());
  EXPECT_EQ(results[0].stop_reason, "time");

  limits.max_samples = 9;
  results = MeasureInTurns(limits, {device.Candidate("a", 1e6, 0.3)}, device.clock());
  EXPECT_EQ(results[0].stop_reason, "max_samples");
  EXPECT_EQ(results[0].samples_ns.size(), 9U);

  limits.budget_ns = 6'500'000;
  results = MeasureInTurns(
      limits, {device.Candidate("a", 1e6, 0.0), device.Candidate("b", 2e6, 0.0)}, device.clock());
  EXPECT_EQ(results[0].stop_reason, "budget");
  EXPECT_EQ(results[0].samples_ns.size(), 3U);
  EXPECT_EQ(results[1].samples_ns.size(), 2U);
}

TEST(DeviceMeasureTest, EveryCandidateIsSampledWhateverTheBudget) {
  FakeDevice device;
  DeviceLimits limits;
  limits.budget_ns = 1;
  const auto results = MeasureInTurns(
      limits, {device.Candidate("a", 1e6, 0.0), device.Candidate("b", 1e6, 0.0)}, device.clock());
  EXPECT_EQ(results[0].samples_ns.size(), 1U);
  EXPECT_EQ(results[1].samples_ns.size(), 1U);
}

TEST(DeviceMeasureTest, SamplesAtALowClockAreDiscardedAndCounted) {
  FakeDevice device;
  int run = 0;
  const DeviceCandidate candidate{"a", [&] {
                                    const bool slow = run++ % 3 == 1;
                                    device.Spend(1'000'000);
                                    return DeviceReading{slow ? 2e6 : 1e6, slow ? 0.7 : 0.95};
                                  }};
  DeviceLimits limits;
  limits.min_time_ns = 30'000'000;
  const auto results = MeasureInTurns(limits, {candidate}, device.clock());
  EXPECT_GT(results[0].slow_ns.size(), 5U);
  EXPECT_EQ(results[0].slow_kept, 0);
  for (const double ns : results[0].samples_ns) EXPECT_EQ(ns, 1e6);
}

TEST(DeviceMeasureTest, SamplesOfADeviceThatIsAlwaysSlowAreKept) {
  FakeDevice device;
  const DeviceCandidate candidate{"a", [&] {
                                    device.Spend(2'000'000);
                                    return DeviceReading{2e6, 0.5};
                                  }};
  DeviceLimits limits;
  limits.min_time_ns = 100'000'000;
  limits.max_discards = 20;
  const auto results = MeasureInTurns(limits, {candidate}, device.clock());
  EXPECT_EQ(results[0].slow_ns.size(), 20U);
  EXPECT_EQ(results[0].slow_kept, static_cast<int>(results[0].samples_ns.size()));
  EXPECT_GE(results[0].samples_ns.size(), 5U);
}

TEST(DeviceMeasureTest, LongRunsAreNeverDiscardedForTheirClock) {
  for (const double ns : {5.1e6, 40e6}) {
    FakeDevice device;
    const DeviceCandidate candidate{"a", [&] {
                                      device.Spend(static_cast<std::int64_t>(ns));
                                      return DeviceReading{ns, 0.5};
                                    }};
    DeviceLimits limits;
    limits.max_samples = 6;
    limits.min_samples = 2;
    const auto results = MeasureInTurns(limits, {candidate}, device.clock());
    EXPECT_TRUE(results[0].slow_ns.empty());
    EXPECT_EQ(results[0].samples_ns.size(), 6U);
    EXPECT_EQ(results[0].slow_kept, 6) << "the samples must be flagged";
  }
}

TEST(DeviceMeasureTest, PastTheBudgetDiscardedSamplesAreUsedAndFlagged) {
  FakeDevice device;
  const DeviceCandidate slow{"a", [&] {
                               device.Spend(2'000'000);
                               return DeviceReading{2e6, 0.5};
                             }};
  DeviceLimits limits;
  limits.budget_ns = 5'000'000;
  const auto results =
      MeasureInTurns(limits, {slow, device.Candidate("b", 1e6, 0.0)}, device.clock());
  EXPECT_EQ(results[0].stop_reason, "budget");
  EXPECT_EQ(results[0].samples_ns.size(), 2U);
  EXPECT_EQ(results[0].slow_kept, 2);
  EXPECT_TRUE(results[0].slow_ns.empty());
  EXPECT_EQ(results[1].slow_kept, 0);
}

TEST(DeviceMeasureTest, AReadingWithoutAClockCounts) {
  FakeDevice device;
  const DeviceCandidate candidate{"a", [&] {
                                    device.Spend(1'000);
                                    return DeviceReading{1e3, std::nullopt};
                                  }};
  DeviceLimits limits;
  limits.max_samples = 50;
  const auto results = MeasureInTurns(limits, {candidate}, device.clock());
  EXPECT_EQ(results[0].samples_ns.size(), 50U);
}

TEST(DeviceMeasureTest, TheClockIsCyclesOverTime) {
  // 1.485 GHz of 1.98 GHz over a millisecond.
  const kernels::gpu::ClockStamp begin{7'000'000, 500};
  const kernels::gpu::ClockStamp end{8'000'000, 1'485'500};
  ASSERT_TRUE(ClockRatio(begin, end, 1'980'000));
  EXPECT_DOUBLE_EQ(*ClockRatio(begin, end, 1'980'000), 0.75);
  EXPECT_FALSE(ClockRatio(begin, {7'050'000, 99'500}, 1'980'000))
      << "too short for a timer with a resolution of microseconds";
  EXPECT_FALSE(ClockRatio(begin, end, 0)) << "a device without a known clock";
}

TEST(DeviceMeasureTest, StampsThatWereNotWrittenOrRanBackwardsGiveNoClock) {
  const kernels::gpu::ClockStamp begin{7'000'000, 500};
  const kernels::gpu::ClockStamp end{8'000'000, 1'485'500};
  EXPECT_FALSE(ClockRatio({}, end, 1'980'000));
  EXPECT_FALSE(ClockRatio(begin, {}, 1'980'000));
  EXPECT_FALSE(ClockRatio({}, {}, 1'980'000));
  EXPECT_FALSE(ClockRatio(end, begin, 1'980'000));
  EXPECT_FALSE(ClockRatio(begin, {8'000'000, 100}, 1'980'000));
}

TEST(DeviceMeasureTest, WrongLimitsAreRefused) {
  FakeDevice device;
  dbsp::testing::ExpectError(ErrorCode::kInvalidArgument, {"expected candidates"}, [&] {
    (void)MeasureInTurns({}, {}, device.clock());
  });
}

}  // namespace
}  // namespace dbsp::profiler
