// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "profiler/sample_loop.h"

namespace dbsp::profiler {
namespace {

/// Fewest samples whose noise is compared with that of their last half.
constexpr std::size_t kStableSamples = 32;
/// Noise is stable when the two differ by less than this part.
constexpr double kStableChange = 0.05;

bool NoiseIsStable(const std::vector<double>& samples) {
  if (samples.size() < kStableSamples) return false;
  const auto half = static_cast<std::ptrdiff_t>(samples.size() / 2);
  const double all = RelativeDeviation(samples);
  const double late = RelativeDeviation({samples.begin() + half, samples.end()});
  return std::abs(late - all) <= kStableChange * all;
}

bool SampledLongEnough(const LoopState& state, int min_samples, std::int64_t min_time_ns) {
  return state.taken() >= min_samples &&
         state.series.sampling_ns >= static_cast<double>(min_time_ns);
}

LoopRules RulesOf(const DeviceLimits& limits) {
  LoopRules rules;
  rules.goals = {SampleCountRule(limits.max_samples),
                 {"time",
                  [limits](const LoopState& state) {
                    return SampledLongEnough(state, limits.min_samples, limits.max_time_ns);
                  }},
                 {"noise",
                  [limits](const LoopState& state) {
                    return SampledLongEnough(state, limits.min_samples, limits.min_time_ns) &&
                           RelativeDeviation(state.series.samples_ns) <= limits.target_noise;
                  }},
                 {"stable", [limits](const LoopState& state) {
                    return SampledLongEnough(state, limits.min_samples, limits.min_time_ns) &&
                           NoiseIsStable(state.series.samples_ns);
                  }}};
  rules.limits = {BudgetRule(limits.budget_ns)};
  rules.may_discard = [limits](const LoopState& state) {
    return static_cast<int>(state.series.discarded_ns.size()) < limits.max_discards;
  };
  return rules;
}

}  // namespace

std::optional<double> ClockRatio(const kernels::gpu::ClockStamp& begin,
                                 const kernels::gpu::ClockStamp& end,
                                 int default_khz,
                                 std::uint64_t shortest_ns) {
  const bool written = begin.nanoseconds > 0 && end.nanoseconds > begin.nanoseconds;
  if (!written || end.cycles <= begin.cycles || default_khz <= 0) return std::nullopt;
  const std::uint64_t ns = end.nanoseconds - begin.nanoseconds;
  const std::uint64_t cycles = end.cycles - begin.cycles;
  if (ns < shortest_ns) return std::nullopt;
  return static_cast<double>(cycles) / static_cast<double>(ns) * 1e6 / default_khz;
}

double RelativeDeviation(const std::vector<double>& samples) {
  const auto n = static_cast<double>(samples.size());
  if (samples.size() < 2) return std::numeric_limits<double>::infinity();
  const double mean = std::accumulate(samples.begin(), samples.end(), 0.0) / n;
  double squares = 0.0;
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  return std::sqrt(squares / (n - 1.0)) / mean;
}

std::vector<DeviceMeasurement> MeasureInTurns(const DeviceLimits& limits,
                                              const std::vector<DeviceCandidate>& candidates,
                                              const std::function<std::int64_t()>& now,
                                              const std::function<bool()>& interrupted) {
  if (candidates.empty() || limits.min_samples < 1 || limits.max_samples < limits.min_samples) {
    Fail(
        ErrorCode::kInvalidArgument,
        "device measurement: expected candidates and 1 <= min_samples <= max_samples, found {}, {} "
        "and {}",
        candidates.size(),
        limits.min_samples,
        limits.max_samples);
  }
  std::vector<std::function<TimedRun()>> runs;
  for (const DeviceCandidate& candidate : candidates) {
    runs.emplace_back([&limits, &candidate] {
      const DeviceReading reading = candidate.sample();
      return TimedRun{reading.duration_ns,
                      reading.clock_ratio &&
                          *reading.clock_ratio<limits.min_clock_ratio, reading.duration_ns> limits
                               .longest_discarded_ns};
    });
  }
  std::vector<DeviceMeasurement> results;
  for (SampleSeries& series : RunSampleLoop(RulesOf(limits), runs, now, interrupted)) {
    results.push_back({.name = candidates[results.size()].name,
                       .samples_ns = std::move(series.samples_ns),
                       .slow_ns = std::move(series.discarded_ns),
                       .slow_kept = series.disturbed_kept,
                       .stop_reason = std::move(series.stop_reason)});
  }
  return results;
}

}  // namespace dbsp::profiler
