// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "core/error.h"
#include "core/statistics.h"
#include "profiler/sample_loop.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

std::string DetailOf(std::int64_t discarded, std::int64_t disturbed_kept) {
  if (discarded == 0) return "";
  std::string text = fmt::format("{} samples discarded: preempted", discarded);
  if (disturbed_kept > 0) text += fmt::format("; {} more preempted samples kept", disturbed_kept);
  return text;
}

bool AnotherFits(const LoopState& state, const MeasureLimits& limits) {
  return state.now_ns <= limits.deadline_ns - state.last_run_ns;
}

LoopRules RulesOf(const MeasureLimits& limits) {
  LoopRules rules;
  rules.goals = {{"spread",
                  [limits](const LoopState& state) {
                    const std::vector<double>& samples = state.series.samples_ns;
                    return state.taken() >= limits.min_samples &&
                           RelativeMedianError(samples) <= limits.target_spread;
                  }},
                 SampleCountRule(limits.max_samples)};
  rules.limits = {
      {"budget",
       [limits](const LoopState& state) {
         return state.taken() >= std::min(kFewestSamples, limits.min_samples) &&
                (state.spent_ns >= limits.budget_ns || !AnotherFits(state, limits));
       }},
      {"run_budget", [limits](const LoopState& state) { return !AnotherFits(state, limits); }}};
  // Warm-ups take at most a third of the budget, so that a slow trial still gets its samples.
  rules.may_warm_up = [limits](const LoopState& state) {
    return state.series.warmups < limits.warmups && state.spent_ns <= limits.budget_ns / 3 &&
           AnotherFits(state, limits);
  };
  rules.may_discard = [limits](const LoopState& state) {
    return state.series.discarded_ns.size() < kMaxDiscards &&
           state.spent_ns < limits.budget_ns / 2 && AnotherFits(state, limits);
  };
  return rules;
}

}  // namespace

Measurement Measure(const MeasureLimits& limits,
                    const std::function<Reading()>& sample,
                    const std::function<std::int64_t()>& now,
                    const std::function<bool()>& interrupted) {
  if (limits.min_samples < 1 || limits.max_samples < limits.min_samples || limits.warmups < 0) {
    Fail(ErrorCode::kInvalidArgument,
         "measurement limits: expected 1 <= min_samples <= max_samples, found {} and {}",
         limits.min_samples,
         limits.max_samples);
  }
  const std::vector<std::function<TimedRun()>> candidates{[&] {
    const Reading reading = sample();
    return TimedRun{static_cast<double>(reading.duration_ns), reading.disturbed};
  }};
  const SampleSeries series = RunSampleLoop(RulesOf(limits), candidates, now, interrupted).front();
  Measurement result{.warmups = series.warmups,
                     .discarded = static_cast<std::int64_t>(series.discarded_ns.size()),
                     .stop_reason = series.stop_reason};
  result.detail = DetailOf(result.discarded, series.disturbed_kept);
  for (const double ns : series.samples_ns) {
    // A clock with a longer tick than the run may read 0.
    result.samples_ns.push_back(std::max<std::int64_t>(static_cast<std::int64_t>(ns), 1));
  }
  return result;
}

std::int64_t Preemptions() {
  rusage usage{};
  if (getrusage(RUSAGE_THREAD, &usage) != 0) return 0;
  return usage.ru_nivcsw;
}

Reading TimeOnThread(const std::function<void()>& run, int calls) {
  const std::int64_t before = Preemptions();
  const std::int64_t begin = runtime::ThreadNs();
  for (int i = 0; i < calls; ++i) run();
  const std::int64_t taken = runtime::ThreadNs() - begin;
  return {(taken + calls / 2) / calls, taken < kCacheRefillNs && Preemptions() != before};
}

int CallsPerSample(const std::function<std::int64_t(int calls)>& time_of) {
  constexpr std::int64_t kMost = 1 << 16;
  std::int64_t calls = 1;
  std::int64_t taken = time_of(1);
  // The first call includes cold caches and new pages, so only a long one counts.
  if (taken >= 100 * kShortestSampleNs) return 1;
  taken = time_of(1);
  while (taken < kShortestSampleNs && calls < kMost) {
    // A fifth more calls than needed, so that noise does not cause another iteration; at most eight
    // times as many, so that a clock that reads almost 0 does not cause an hour of calls.
    const std::int64_t wanted =
        calls * kShortestSampleNs * 6 / 5 / std::max<std::int64_t>(taken, 1);
    calls = std::min({std::max(wanted, calls + 1), calls * 8, kMost});
    taken = time_of(static_cast<int>(calls));
  }
  return static_cast<int>(calls);
}

}  // namespace dbsp::profiler
