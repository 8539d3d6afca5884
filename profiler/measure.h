// SPDX-License-Identifier: Apache-2.0
// The adaptive measurement loop: warm up, sample until the median is known well enough, or time or
// samples run out. It knows neither devices nor clocks: both come as functions.
//
// Outliers are never removed: every undisturbed sample is kept and the median is what is read. A
// disturbed sample (the system took the core away meanwhile) is discarded and counted; on a machine
// that disturbs most samples they are kept after kMaxDiscards, which the detail says.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"

namespace dbsp::profiler {

inline constexpr int kMaxDiscards = 8;
/// Samples that a trial takes past its own budget when the run's time allows.
inline constexpr int kFewestSamples = 3;
/// Shorter samples would be read off the clock's last digits.
inline constexpr std::int64_t kShortestSampleNs = 50'000;

struct MeasureLimits {
  int warmups = 2;
  int min_samples = 5;
  int max_samples = 200;
  double target_spread = 0.01;  ///< of RelativeMedianError()
  std::int64_t budget_ns = 2'000'000'000;  ///< for the whole trial, warm-ups included
  /// End of the whole run on the clock of `now`: past it only a first sample is taken.
  std::int64_t deadline_ns = std::numeric_limits<std::int64_t>::max();
};

/// What was computed or moved is not what it must be: the trial's outcome is kWrong.
class WrongResult : public Error {
 public:
  explicit WrongResult(const std::string& what) : Error(ErrorCode::kMeasurement, what) {}
};

/// One run as timed by whoever ran it.
struct Reading {
  std::int64_t duration_ns = 0;
  bool disturbed = false;
};

struct Measurement {
  std::vector<std::int64_t> samples_ns = {};  ///< in order; never empty unless interrupted
  std::vector<std::int64_t> alone_ns = {};  ///< as Trial's
  std::int64_t warmups = 0;
  std::int64_t discarded = 0;
  /// "spread", "budget", "max_samples", "interrupted", or "run_budget": the run's time ended it
  /// before kFewestSamples.
  std::string stop_reason = {};
  std::string detail = {};  ///< what was discarded and why, "" when nothing was
};

/// Runs `sample` until a limit holds. One sample is taken whatever the budget, kFewestSamples as
/// long as another one like the last ends before the deadline.
/// now          nanoseconds of a clock that never goes back
/// interrupted  asked before every run; true ends the measurement
/// errors       whatever the functions throw; Error{kInvalidArgument} for limits below 1
[[nodiscard]] Measurement Measure(const MeasureLimits& limits,
                                  const std::function<Reading()>& sample,
                                  const std::function<std::int64_t()>& now,
                                  const std::function<bool()>& interrupted);

/// Times the system took this thread off its core against its will.
[[nodiscard]] std::int64_t Preemptions();

/// A run shorter than this is disturbed by losing its core, because the cache it comes back to is
/// another's; in a longer one refilling the cache is below the noise.
inline constexpr std::int64_t kCacheRefillNs = 5'000'000;

/// Mean time of `calls` calls by runtime::ThreadNs(), rounded. requires calls >= 1
[[nodiscard]] Reading TimeOnThread(const std::function<void()>& run, int calls = 1);

/// Calls one after the other that take kShortestSampleNs or more; 1 where a single one does.
/// time_of  nanoseconds that so many calls take together; asked once for long calls
[[nodiscard]] int CallsPerSample(const std::function<std::int64_t(int calls)>& time_of);

}  // namespace dbsp::profiler
