// SPDX-License-Identifier: Apache-2.0
// Measures one trial: sampling stops when the standard error of the median is small enough, or at a
// limit of time or samples. The loop itself is in profiler/sample_loop.h.
//
// Outliers are never removed; results are medians. A disturbed sample, during which the system
// preempted the thread, is discarded and counted. After kMaxDiscards discarded samples, further
// disturbed ones are kept, and Measurement::detail reports their number.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"

namespace dbsp::profiler {

inline constexpr int kMaxDiscards = 8;
/// Samples that a trial takes even past its own budget, while the run's time allows.
inline constexpr int kFewestSamples = 3;
/// Shortest sample; a shorter one would be too close to the clock's resolution.
inline constexpr std::int64_t kShortestSampleNs = 50'000;

struct MeasureLimits {
  int warmups = 2;
  int min_samples = 5;
  int max_samples = 200;
  double target_spread = 0.01;  ///< RelativeMedianError() at which sampling stops
  std::int64_t budget_ns = 2'000'000'000;  ///< for the whole trial, warm-ups included
  /// End of the whole run on the clock of `now`. After it, only a first sample is taken.
  std::int64_t deadline_ns = std::numeric_limits<std::int64_t>::max();
};

/// A computed or exchanged value is wrong. The trial's outcome is kWrong.
class WrongResult : public Error {
 public:
  explicit WrongResult(const std::string& what) : Error(ErrorCode::kMeasurement, what) {}
};

/// One timed run.
struct Reading {
  std::int64_t duration_ns = 0;
  bool disturbed = false;
};

struct Measurement {
  std::vector<std::int64_t> samples_ns = {};  ///< in order; never empty unless interrupted
  std::vector<std::int64_t> alone_ns = {};  ///< as Trial::alone_ns
  std::int64_t warmups = 0;
  std::int64_t discarded = 0;
  /// "spread", "budget", "max_samples", "interrupted", or "run_budget": the run's deadline came
  /// before kFewestSamples. Measurements on a device also "noise", "stable" and "time".
  std::string stop_reason = {};
  std::string detail = {};  ///< discarded samples with the reason; "" without any
};

/// Calls `sample` until a limit holds. It takes one sample whatever the budget, and kFewestSamples
/// as long as another run of the same duration would end before the deadline.
/// now          nanoseconds of a clock that never goes back
/// interrupted  asked before every run; true ends the measurement
/// errors       whatever the functions throw; Error{kInvalidArgument} for limits below 1
[[nodiscard]] Measurement Measure(const MeasureLimits& limits,
                                  const std::function<Reading()>& sample,
                                  const std::function<std::int64_t()>& now,
                                  const std::function<bool()>& interrupted);

/// Number of involuntary context switches of this thread.
[[nodiscard]] std::int64_t Preemptions();

/// A run shorter than this counts as disturbed after a preemption, because it must refill the
/// cache. In a longer run the refill is below the noise.
inline constexpr std::int64_t kCacheRefillNs = 5'000'000;

/// Mean time of `calls` calls by runtime::ThreadNs(), rounded. requires calls >= 1
[[nodiscard]] Reading TimeOnThread(const std::function<void()>& run, int calls = 1);

/// Number of successive calls that take kShortestSampleNs or more together.
/// time_of  returns the nanoseconds of `calls` calls together; called only once for long calls
[[nodiscard]] int CallsPerSample(const std::function<std::int64_t(int calls)>& time_of);

}  // namespace dbsp::profiler
