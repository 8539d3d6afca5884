// SPDX-License-Identifier: Apache-2.0
// The measuring loop of every trial: warm up, then sample candidates in turn until a stop rule
// holds for each. It knows neither devices nor clocks; both are functions. Callers choose the
// rules: profiler/measure.h for single trials, profiler/gpu/device_measure.h for candidates on a
// device.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dbsp::profiler {

/// One timed run of a candidate.
struct TimedRun {
  double duration_ns = 0.0;
  bool disturbed = false;  ///< the run was preempted, or the device's clock was low
  bool keep = false;  ///< the run is too long to be repeated: it counts although it is disturbed
};

/// The samples of one candidate.
struct SampleSeries {
  std::vector<double> samples_ns = {};  ///< in order, without warm-ups and discarded samples
  std::vector<double> discarded_ns = {};
  int disturbed_kept = 0;  ///< number of disturbed runs among samples_ns
  int warmups = 0;
  double sampling_ns = 0.0;  ///< sum of all samples, discarded ones included
  std::string stop_reason = {};  ///< of the rule that ended the sampling, or "interrupted"
};

/// What rules decide from: a candidate's series, and times on the loop's clock.
struct LoopState {
  const SampleSeries& series;
  std::int64_t spent_ns = 0;  ///< since the loop began
  std::int64_t now_ns = 0;
  std::int64_t last_run_ns = 0;  ///< duration of the latest run with its preparation; 0 before it
  [[nodiscard]] int taken() const { return static_cast<int>(series.samples_ns.size()); }
};
using LoopPredicate = std::function<bool(const LoopState&)>;

struct StopRule {
  const char* reason;
  LoopPredicate holds;
};

/// Stops at `count` samples. reason "max_samples"
[[nodiscard]] StopRule SampleCountRule(int count);
/// Stops when the loop has lasted `budget_ns`. reason "budget"
[[nodiscard]] StopRule BudgetRule(std::int64_t budget_ns);

struct LoopRules {
  /// End the measurement of a candidate, which is still sampled while others are measured.
  std::vector<StopRule> goals = {};
  /// End the sampling of a candidate. Asked before and after every run, after the goals.
  std::vector<StopRule> limits = {};
  /// Whether another warm-up run is allowed; null: no warm-ups.
  LoopPredicate may_warm_up = nullptr;
  /// Whether a disturbed run may be discarded; null: never.
  LoopPredicate may_discard = nullptr;
};

/// Samples the candidates in turn, so that a drift of clocks or temperature affects all of them
/// alike, until each has met a goal or a limit. Every candidate gets one sample whatever the rules.
/// A candidate that has only discarded samples at a limit gets those back, and they count as
/// disturbed_kept.
/// candidates   functions that run a candidate once
/// now          nanoseconds of a clock that never goes back
/// interrupted  asked before every run; true ends the loop, and candidates without a stop reason
///              get "interrupted"
/// errors       whatever the functions throw
[[nodiscard]] std::vector<SampleSeries> RunSampleLoop(
    const LoopRules& rules,
    const std::vector<std::function<TimedRun()>>& candidates,
    const std::function<std::int64_t()>& now,
    const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
