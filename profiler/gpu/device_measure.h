// SPDX-License-Identifier: Apache-2.0
// Rules for timing candidates on a device: when to stop, and which samples count. Devices and
// clocks are functions. The loop itself is in profiler/sample_loop.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/gpu/timing_kernels.h"

namespace dbsp::profiler {

/// One timed run.
struct DeviceReading {
  double duration_ns = 0.0;
  /// SM clock during the run over the device's default clock; nothing when the run was too short
  /// for the device's timer.
  std::optional<double> clock_ratio;
};

/// SM clock over `default_khz`, from the time and the cycles between two stamps. Returns nothing
/// when fewer than `shortest_ns` lie between them, because the device's timer ticks about once per
/// microsecond; when a stamp was not written (0); when a clock ran backwards.
[[nodiscard]] std::optional<double> ClockRatio(const kernels::gpu::ClockStamp& begin,
                                               const kernels::gpu::ClockStamp& end,
                                               int default_khz,
                                               std::uint64_t shortest_ns = 100'000);

/// source  nvbench's criteria: relative standard deviation below 0.5% after 0.5 s, or noise that no
///         longer changes, or 15 s; a clock below 75% of the default discards a sample
struct DeviceLimits {
  double target_noise = 0.005;  ///< relative standard deviation
  std::int64_t min_time_ns = 500'000'000;  ///< sum of a candidate's samples
  std::int64_t max_time_ns = 15'000'000'000;
  int min_samples = 5;
  int max_samples = 2000;
  double min_clock_ratio = 0.75;
  int max_discards = 20;  ///< further slow samples are kept: the device always runs that slowly
  /// A longer run is never discarded, because repeating it costs more than the clock's error.
  double longest_discarded_ns = 5'000'000;
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
  std::vector<double> slow_ns;  ///< discarded samples with a clock below min_clock_ratio
  /// Slow samples among samples_ns: after max_discards, above longest_discarded_ns, or all of them
  /// where the budget ended before a better one.
  int slow_kept = 0;
  std::string stop_reason;  ///< "noise", "stable", "time", "max_samples", "budget", "interrupted"
};

/// Standard deviation over mean; infinite for fewer than two samples.
[[nodiscard]] double RelativeDeviation(const std::vector<double>& samples);

/// Samples the candidates in turn, so that a drift of clocks or temperature affects all alike,
/// until each has reached a limit of its own or the budget is spent. Finished candidates are
/// sampled to the end. Every candidate is sampled at least once, whatever the budget. A sample with
/// a low clock is discarded and counted.
/// now          nanoseconds of a clock that never goes back
/// interrupted  asked before every sample; true ends the measurement
/// errors       Error{kInvalidArgument} for no candidates or limits below 1; errors of candidates
[[nodiscard]] std::vector<DeviceMeasurement> MeasureInTurns(
    const DeviceLimits& limits,
    const std::vector<DeviceCandidate>& candidates,
    const std::function<std::int64_t()>& now,
    const std::function<bool()>& interrupted = [] { return false; });

}  // namespace dbsp::profiler
