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
#include <string>
#include <vector>

namespace dbsp::profiler {

inline constexpr int kMaxDiscards = 8;

struct MeasureLimits {
  int warmups = 2;
  int min_samples = 5;
  int max_samples = 200;
  double target_spread = 0.01;  ///< of RelativeError()
  std::int64_t budget_ns = 2'000'000'000;  ///< for the whole trial, warm-ups included
};

/// One run as timed by whoever ran it.
struct Reading {
  std::int64_t duration_ns = 0;
  bool disturbed = false;
};

struct Measurement {
  std::vector<std::int64_t> samples_ns;  ///< in order; never empty unless interrupted
  std::int64_t warmups = 0;
  std::int64_t discarded = 0;
  std::string stop_reason;  ///< "spread", "budget", "max_samples", "interrupted"
  std::string detail;  ///< what was discarded and why, "" when nothing was
};

/// Standard error of the median over the median, from the quartiles: 1.2533 * (q3 - q1) / 1.349 /
/// sqrt(n) / median (normal noise; quartiles make it deaf to outliers). Infinite for n < 2.
[[nodiscard]] double RelativeError(std::vector<std::int64_t> samples_ns);

/// Runs `sample` until a limit holds. At least one sample is taken whatever the budget.
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

/// Times one call by runtime::ThreadNs().
[[nodiscard]] Reading TimeOnThread(const std::function<void()>& run);

}  // namespace dbsp::profiler
