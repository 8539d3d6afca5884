// SPDX-License-Identifier: Apache-2.0
// Loads of the next denoising step from those already seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Half of the last change again: the best of the gains tried on the measured SpargeAttn counts
/// (docs/planner.md), where loads drift one way for several steps.
inline constexpr double kDriftGain = 0.5;

/// max(1, now + gain * (now - before)), rounded; 0 stays 0 where nothing was ever kept.
/// shape    now[n]; before[n], or empty on the first step, which gives `now`
/// requires counts >= 0, gain finite
/// errors   Error{kInvalidArgument} when the lengths differ
[[nodiscard]] std::vector<std::int64_t> PredictCounts(std::span<const std::int64_t> now,
                                                      std::span<const std::int64_t> before,
                                                      double gain = kDriftGain);

}  // namespace dbsp::planner
