// SPDX-License-Identifier: Apache-2.0
// Prediction of the next denoising step's loads from earlier steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Half of the last change is added. Of the gains tried on the measured SpargeAttn counts this was
/// the best (docs/results/planner.md); loads drift in one direction for several steps there.
inline constexpr double kDriftGain = 0.5;

/// max(1, now + gain * (now - before)), rounded; 0 if both counts are 0.
/// shape    now[n]; before[n], or empty in the first step, for which `now` is returned
/// requires counts >= 0, gain finite
/// errors   Error{kInvalidArgument} if the lengths differ
[[nodiscard]] std::vector<std::int64_t> PredictCounts(std::span<const std::int64_t> now,
                                                      std::span<const std::int64_t> before,
                                                      double gain = kDriftGain);

}  // namespace dbsp::planner
