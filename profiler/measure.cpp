// SPDX-License-Identifier: Apache-2.0
#include "profiler/measure.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "core/error.h"
#include "core/statistics.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

std::string DetailOf(std::int64_t discarded, std::int64_t disturbed_kept) {
  if (discarded == 0) return "";
  std::string text = fmt::format("{} samples discarded: preempted", discarded);
  if (disturbed_kept > 0) text += fmt::format("; {} more preempted ones kept", disturbed_kept);
  return text;
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
  Measurement result;
  std::int64_t disturbed_kept = 0;
  const std::int64_t begin = now();
  std::int64_t last_ns = 0;  // what the last run took, preparation included
  const auto spent = [&] { return now() - begin; };
  const auto run = [&] {
    const std::int64_t start = now();
    const Reading reading = sample();
    last_ns = now() - start;
    return reading;
  };
  const auto another_fits = [&] { return now() <= limits.deadline_ns - last_ns; };
  const auto finish = [&](const char* reason) {
    result.stop_reason = reason;
    result.detail = DetailOf(result.discarded, disturbed_kept);
    return result;
  };
  // Warm-ups take at most a third of the budget: a slow trial still gets its samples.
  while (result.warmups < limits.warmups && spent() <= limits.budget_ns / 3 && another_fits()) {
    if (interrupted()) return finish("interrupted");
    (void)run();
    ++result.warmups;
  }
  for (;;) {
    if (interrupted()) return finish("interrupted");
    const Reading reading = run();
    if (reading.disturbed && result.discarded < kMaxDiscards && spent() < limits.budget_ns / 2 &&
        another_fits()) {
      ++result.discarded;
      continue;
    }
    disturbed_kept += reading.disturbed ? 1 : 0;
    // A clock coarser than the run may read 0; less than its tick is all that is known then.
    result.samples_ns.push_back(std::max<std::int64_t>(reading.duration_ns, 1));
    const auto taken = static_cast<int>(result.samples_ns.size());
    if (taken >= limits.min_samples &&
        RelativeMedianError(result.samples_ns) <= limits.target_spread) {
      return finish("spread");
    }
    if (taken >= limits.max_samples) return finish("max_samples");
    const bool enough = taken >= std::min(kFewestSamples, limits.min_samples);
    if (enough && (spent() >= limits.budget_ns || !another_fits())) return finish("budget");
    if (!another_fits()) return finish("run_budget");
  }
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
  // The first call also pays for cold caches and fresh pages: only a long one is believed.
  if (taken >= 100 * kShortestSampleNs) return 1;
  taken = time_of(1);
  while (taken < kShortestSampleNs && calls < kMost) {
    // A fifth more than needed, so that noise does not bring it back here; at most eightfold, so
    // that a clock that reads next to nothing does not ask for an hour.
    const std::int64_t wanted =
        calls * kShortestSampleNs * 6 / 5 / std::max<std::int64_t>(taken, 1);
    calls = std::min({std::max(wanted, calls + 1), calls * 8, kMost});
    taken = time_of(static_cast<int>(calls));
  }
  return static_cast<int>(calls);
}

}  // namespace dbsp::profiler
