// SPDX-License-Identifier: Apache-2.0
#include "profiler/sample_loop.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dbsp::profiler {
namespace {

class SampleLoop {
 public:
  SampleLoop(const LoopRules& rules,
             const std::vector<std::function<TimedRun()>>& candidates,
             const std::function<std::int64_t()>& now,
             const std::function<bool()>& interrupted)
      : rules_(rules),
        candidates_(candidates),
        now_(now),
        interrupted_(interrupted),
        begin_ns_(now()),
        series_(candidates.size()) {}

  std::vector<SampleSeries> Run() {
    if (!WarmUp() || !Sample()) {
      for (SampleSeries& series : series_) {
        if (series.stop_reason.empty()) series.stop_reason = "interrupted";
      }
    }
    return std::move(series_);
  }

 private:
  [[nodiscard]] LoopState StateOf(const SampleSeries& series) const {
    const std::int64_t now = now_();
    return {series, now - begin_ns_, now, last_run_ns_};
  }

  TimedRun RunOnce(std::size_t candidate) {
    const std::int64_t start = now_();
    const TimedRun run = candidates_[candidate]();
    last_run_ns_ = now_() - start;
    return run;
  }

  /// False when interrupted.
  bool WarmUp() {
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      while (rules_.may_warm_up && rules_.may_warm_up(StateOf(series_[i]))) {
        if (interrupted_()) return false;
        (void)RunOnce(i);
        ++series_[i].warmups;
      }
    }
    return true;
  }

  /// False when interrupted.
  bool Sample() {
    const auto unfinished = [](const SampleSeries& one) { return one.stop_reason.empty(); };
    while (std::any_of(series_.begin(), series_.end(), unfinished)) {
      for (std::size_t i = 0; i < candidates_.size(); ++i) {
        if (Stops(rules_.limits, series_[i])) continue;
        if (interrupted_()) return false;
        const TimedRun run = RunOnce(i);
        Add(run, series_[i]);
        TakeBackAtLimit(series_[i]);
        if (!Stops(rules_.goals, series_[i])) (void)Stops(rules_.limits, series_[i]);
      }
    }
    return true;
  }

  void Add(const TimedRun& run, SampleSeries& series) {
    series.sampling_ns += run.duration_ns;
    const bool discard =
        run.disturbed && !run.keep && rules_.may_discard && rules_.may_discard(StateOf(series));
    if (discard) {
      series.discarded_ns.push_back(run.duration_ns);
      return;
    }
    series.disturbed_kept += run.disturbed ? 1 : 0;
    series.samples_ns.push_back(run.duration_ns);
  }

  /// No time is left for better samples once a limit holds.
  void TakeBackAtLimit(SampleSeries& series) const {
    if (!series.samples_ns.empty() || series.discarded_ns.empty()) return;
    const LoopState state = StateOf(series);
    const auto holds = [&](const StopRule& rule) { return rule.holds(state); };
    if (std::none_of(rules_.limits.begin(), rules_.limits.end(), holds)) return;
    series.disturbed_kept += static_cast<int>(series.discarded_ns.size());
    series.samples_ns = std::exchange(series.discarded_ns, {});
  }

  /// Whether a rule holds for a series with samples. The first rule that ever holds is its reason.
  bool Stops(const std::vector<StopRule>& rules, SampleSeries& series) {
    if (series.samples_ns.empty()) return false;
    for (const StopRule& rule : rules) {
      if (!rule.holds(StateOf(series))) continue;
      if (series.stop_reason.empty()) series.stop_reason = rule.reason;
      return true;
    }
    return false;
  }

  const LoopRules& rules_;
  const std::vector<std::function<TimedRun()>>& candidates_;
  const std::function<std::int64_t()>& now_;
  const std::function<bool()>& interrupted_;
  std::int64_t begin_ns_;
  std::int64_t last_run_ns_ = 0;
  std::vector<SampleSeries> series_;
};

}  // namespace

StopRule SampleCountRule(int count) {
  return {"max_samples", [count](const LoopState& state) { return state.taken() >= count; }};
}

StopRule BudgetRule(std::int64_t budget_ns) {
  return {"budget", [budget_ns](const LoopState& state) { return state.spent_ns >= budget_ns; }};
}

std::vector<SampleSeries> RunSampleLoop(const LoopRules& rules,
                                        const std::vector<std::function<TimedRun()>>& candidates,
                                        const std::function<std::int64_t()>& now,
                                        const std::function<bool()>& interrupted) {
  return SampleLoop(rules, candidates, now, interrupted).Run();
}

}  // namespace dbsp::profiler
