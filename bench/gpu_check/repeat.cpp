// SPDX-License-Identifier: Apache-2.0
// How far apart medians of one kernel are that are taken again and again: what every other number
// of this program, and of a database, is worth.
#include <algorithm>

#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/speed.h"
#include "core/statistics.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {
namespace {

constexpr int kRepeats = 7;
constexpr double kMostSpread = 0.01;

}  // namespace

/// Each repeat has memory, inputs and lists of its own, and is timed as the speed part times.
bool MeasureRepeats(Context& context) {
  const SpeedGroup group = RepeatGroup(context.device.arch >= 90 ? 90 : 80, context.options.smoke);
  std::vector<double> medians;
  std::vector<double> samples;
  std::string kernel;
  bool good = true;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (context.RemainingNs() <= 0) {
      context.cut_off = true;
      break;
    }
    const PreparedGroup prepared(group, context);
    if (prepared.runners().empty()) break;
    const Runner& runner = prepared.runners().front();
    kernel = runner.variant->name;
    good = good && runner.spot_error <= kMaxRelativeError;
    profiler::DeviceLimits limits;
    limits.min_time_ns = 300'000'000;
    limits.max_time_ns = 1'000'000'000;
    limits.budget_ns = std::clamp<std::int64_t>(
        context.RemainingNs(), 1, 1 + group.budget_s * 1'000'000'000LL / kRepeats);
    const auto measured = profiler::MeasureInTurns(
        limits,
        {{runner.label(), [&] { return prepared.Sample(runner, context); }}},
        runtime::SteadyNs);
    const std::vector<double>& taken = measured.front().samples_ns;
    medians.push_back(QuartilesOf(taken).median);
    samples.push_back(static_cast<double>(taken.size()));
  }
  if (medians.size() < 2) {
    std::printf("repeat: fewer than two medians: %s\n",
                context.cut_off ? "out of time" : "no kernel of the table fits");
    return good;
  }
  const auto [low, high] = std::minmax_element(medians.begin(), medians.end());
  const double spread = (*high - *low) / QuartilesOf(medians).median;
  context.results.Write(JsonLine()
                            .Add("part", "repeat")
                            .Add("group", group.name)
                            .Add("kernel", kernel)
                            .Add("medians_ns", medians)
                            .Add("samples", samples)
                            .Add("spread", spread)
                            .Add("limit", kMostSpread));
  std::printf(
      "repeat: %s, %s: %d medians from %.4f to %.4f ms, %.2f%% apart (at most %.0f%%): %s\n",
      group.name.c_str(),
      kernel.c_str(),
      static_cast<int>(medians.size()),
      *low * 1e-6,
      *high * 1e-6,
      100 * spread,
      100 * kMostSpread,
      spread <= kMostSpread ? "yes" : "no");
  return good;
}

}  // namespace dbsp::gpu_check
