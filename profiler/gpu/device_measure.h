// SPDX-License-Identifier: Apache-2.0
// When to stop timing candidates on a device, and which samples count. It knows neither devices nor
// clocks: both come as functions.
//
// Candidates take turns, so that a clock that drifts or a chip that warms up meets all of them
// alike. Every sample is kept; one taken while the clock was far below the device's default is kept
// apart and counted.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace dbsp::profiler {

/// One timed run.
struct DeviceReading {
  double duration_ns = 0.0;
  /// Clock of the multiprocessors over the device's default; nothing where the run was too short
  /// for the device's timer to tell.
  std::optional<double> clock_ratio;
};

/// Clock of the multiprocessors between two stamps, over `default_khz`; nothing when fewer than
/// `shortest_ns` lie between them, because the device's timer ticks about once a microsecond.
[[nodiscard]] std::optional<double> ClockRatio(std::uint64_t ns,
                                               std::uint64_t cycles,
                                               int default_khz,
                                               std::uint64_t shortest_ns = 100'000);

/// source  nvbench's criteria: relative standard deviation below 0.5% after 0.5 s, or noise that no
///         longer changes, or 15 s; a clock below 75% of the default discards a sample
struct DeviceLimits {
  double target_noise = 0.005;  ///< relative standard deviation
  std::int64_t min_time_ns = 500'000'000;  ///< of a candidate's own samples
  std::int64_t max_time_ns = 15'000'000'000;
  int min_samples = 5;
  int max_samples = 2000;
  double min_clock_ratio = 0.75;
  int max_discards = 20;  ///< more slow samples than this count: the device runs that way
  /// For all candidates together, on the clock of `now`.
  std::int64_t budget_ns = 60'000'000'000;
};

struct DeviceCandidate {
  std::string name;
  std::function<DeviceReading()> sample;
};

struct DeviceMeasurement {
  std::string name;
  std::vector<double> samples_ns;  ///< in order
  std::vector<double> slow_ns;  ///< discarded: taken below min_clock_ratio
  int slow_kept = 0;  ///< slow samples among samples_ns, after max_discards
  std::string stop_reason;  ///< "noise", "stable", "time", "max_samples", "budget"
};

/// Standard deviation over mean; infinite for fewer than two samples.
[[nodiscard]] double RelativeDeviation(const std::vector<double>& samples);

/// Samples candidates in turns until each has reached a limit of its own or the budget is spent;
/// one that is done stays in the turns, so that all are seen under the same conditions to the end.
/// Each candidate is sampled at least once, whatever the budget.
/// now      nanoseconds of a clock that never goes back
/// errors   Error{kInvalidArgument} for no candidates or limits below 1; whatever `sample` throws
[[nodiscard]] std::vector<DeviceMeasurement> MeasureInTurns(
    const DeviceLimits& limits,
    const std::vector<DeviceCandidate>& candidates,
    const std::function<std::int64_t()>& now);

}  // namespace dbsp::profiler
