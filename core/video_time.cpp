// SPDX-License-Identifier: Apache-2.0
#include "core/video_time.h"

#include <algorithm>
#include <functional>

#include "core/units.h"

namespace dbsp {
namespace {

/// cell_ns  attention of one pass of a prediction
std::optional<VideoTime> TimeOfCells(const Plan& plan,
                                     int waves,
                                     const std::function<std::int64_t(int)>& cell_ns) {
  if (!plan.rest) return std::nullopt;
  double attention_ns = 0;
  std::int64_t computed = 0;
  for (const PlanCell& cell : plan.cells) {
    if (IsSkipped(*plan.rest, cell.step)) continue;
    attention_ns += static_cast<double>(cell_ns(cell.prediction));
    ++computed;
  }
  return VideoTimeOf(*plan.rest, attention_ns * waves, computed);
}

}  // namespace

bool IsSkipped(const RestOfVideo& rest, int step) {
  return std::binary_search(rest.skipped_steps.begin(), rest.skipped_steps.end(), step);
}

VideoTime VideoTimeOf(const RestOfVideo& rest, double attention_ns, std::int64_t computed_cells) {
  return {attention_ns / kNsPerMs,
          static_cast<double>(rest.cell_ns) * static_cast<double>(computed_cells) / kNsPerMs,
          static_cast<double>(rest.once_ns) / kNsPerMs};
}

std::optional<VideoTime> VideoTimeOf(const Plan& plan) {
  return TimeOfCells(plan, plan.sequential_waves(), [&](int prediction) {
    return plan.predictions[prediction].total_ns;
  });
}

std::optional<VideoTime> VideoTimeOf(const Plan& plan, const Baseline& baseline) {
  if (baseline.times.empty()) return std::nullopt;
  return TimeOfCells(plan, SequentialWaves(plan.passes, baseline.cfg_degree), [&](int prediction) {
    return baseline.times[prediction].total_ns;
  });
}

}  // namespace dbsp
