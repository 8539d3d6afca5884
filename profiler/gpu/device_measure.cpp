// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_measure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace dbsp::profiler {
namespace {

/// Samples after which the noise is looked at for change.
constexpr std::size_t kStableSamples = 32;
/// The noise is stable when the last half's differs from the whole's by less than this part.
constexpr double kStableChange = 0.05;

bool NoiseIsStable(const std::vector<double>& samples) {
  if (samples.size() < kStableSamples) return false;
  const auto half = static_cast<std::ptrdiff_t>(samples.size() / 2);
  const double all = RelativeDeviation(samples);
  const double late = RelativeDeviation({samples.begin() + half, samples.end()});
  return std::abs(late - all) <= kStableChange * all;
}

/// One candidate's samples so far.
class Progress {
 public:
  explicit Progress(const std::string& name) { result_.name = name; }

  void Add(const DeviceReading& reading, const DeviceLimits& limits) {
    spent_ns_ += reading.duration_ns;
    const bool slow = reading.clock_ratio && *reading.clock_ratio < limits.min_clock_ratio;
    if (slow && static_cast<int>(result_.slow_ns.size()) < limits.max_discards) {
      result_.slow_ns.push_back(reading.duration_ns);
      return;
    }
    result_.slow_kept += slow ? 1 : 0;
    result_.samples_ns.push_back(reading.duration_ns);
  }

  [[nodiscard]] bool done() const { return !result_.stop_reason.empty(); }
  [[nodiscard]] bool has_samples() const { return !result_.samples_ns.empty(); }

  void Judge(const DeviceLimits& limits) {
    if (done()) return;
    const auto taken = static_cast<int>(result_.samples_ns.size());
    if (taken < limits.min_samples) return;
    if (taken >= limits.max_samples) return Stop("max_samples");
    if (spent_ns_ >= static_cast<double>(limits.max_time_ns)) return Stop("time");
    if (spent_ns_ < static_cast<double>(limits.min_time_ns)) return;
    if (RelativeDeviation(result_.samples_ns) <= limits.target_noise) return Stop("noise");
    if (NoiseIsStable(result_.samples_ns)) Stop("stable");
  }

  DeviceMeasurement Finish() {
    if (!done()) Stop("budget");
    return std::move(result_);
  }

 private:
  void Stop(const char* reason) { result_.stop_reason = reason; }

  DeviceMeasurement result_;
  double spent_ns_ = 0.0;
};

}  // namespace

std::optional<double> ClockRatio(std::uint64_t ns,
                                 std::uint64_t cycles,
                                 int default_khz,
                                 std::uint64_t shortest_ns) {
  if (ns < shortest_ns || default_khz <= 0) return std::nullopt;
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
                                              const std::function<std::int64_t()>& now) {
  if (candidates.empty() || limits.min_samples < 1 || limits.max_samples < limits.min_samples) {
    Fail(
        ErrorCode::kInvalidArgument,
        "device measurement: expected candidates and 1 <= min_samples <= max_samples, found {}, {} "
        "and {}",
        candidates.size(),
        limits.min_samples,
        limits.max_samples);
  }
  std::vector<Progress> progress;
  for (const DeviceCandidate& candidate : candidates) progress.emplace_back(candidate.name);
  const std::int64_t begin = now();
  const auto unfinished = [&](const Progress& one) { return !one.done(); };
  const auto empty = [&](const Progress& one) { return !one.has_samples(); };
  while (std::any_of(progress.begin(), progress.end(), unfinished)) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      // Past the budget only candidates without a sample go on.
      if (now() - begin >= limits.budget_ns && progress[i].has_samples()) continue;
      progress[i].Add(candidates[i].sample(), limits);
      progress[i].Judge(limits);
    }
    const bool over = now() - begin >= limits.budget_ns;
    if (over && std::none_of(progress.begin(), progress.end(), empty)) break;
  }
  std::vector<DeviceMeasurement> results;
  for (Progress& one : progress) results.push_back(one.Finish());
  return results;
}

}  // namespace dbsp::profiler
