// SPDX-License-Identifier: Apache-2.0
// Measures the median time of one kernel several times. The spread of the medians is the
// uncertainty of every other time of this program and of dbsp-profile.
#include <fmt/format.h>

#include <algorithm>

#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/speed.h"
#include "core/cli.h"
#include "core/statistics.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {
namespace {

constexpr int kRepeats = 7;
/// Largest (max - min) / median of the medians; scripts/lib/gpu-limits holds results to it.
constexpr double kMaxSpread = 0.01;

}  // namespace

/// Every repeat allocates its own memory, inputs and lists, and measures as the part "speed" does.
bool MeasureRepeats(Context& context) {
  const SpeedGroup group = RepeatGroup(context.device.arch, context.options.smoke);
  std::vector<double> medians;
  std::vector<double> samples;
  std::string kernel;
  bool all_right = true;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    if (context.RemainingNs() <= 0) {
      context.cut_off = true;
      break;
    }
    const PreparedGroup prepared(group, context);
    if (prepared.runners().empty()) break;
    const Runner& runner = prepared.runners().front();
    kernel = runner.variant->name;
    all_right = all_right && runner.spot_error <= kMaxRelativeError;
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
    WriteStdout(fmt::format("repeat: fewer than two medians were measured: {}\n",
                            context.cut_off ? "the budget ended" : "no kernel fits"));
    return all_right;
  }
  const auto [low, high] = std::minmax_element(medians.begin(), medians.end());
  const double spread = (*high - *low) / QuartilesOf(medians).median;
  context.results.Write({{"part", "repeat"},
                         {"group", group.name},
                         {"kernel", kernel},
                         {"medians_ns", medians},
                         {"samples", samples},
                         {"spread", spread},
                         {"limit", kMaxSpread}});
  WriteStdout(fmt::format(
      "repeat: {}, {}: {} medians from {:.4f} to {:.4f} ms, spread {:.2f}% (at most {:.0f}%): {}\n",
      group.name,
      kernel,
      medians.size(),
      *low * 1e-6,
      *high * 1e-6,
      100 * spread,
      100 * kMaxSpread,
      spread <= kMaxSpread ? "yes" : "no"));
  return all_right;
}

}  // namespace dbsp::gpu_check
