// SPDX-License-Identifier: Apache-2.0
// Predicted time of a whole video: the attention of a plan and all the rest.
#pragma once

#include <cstdint>
#include <optional>

#include "core/plan.h"

namespace dbsp {

/// Milliseconds over the cells of a plan whose steps are not skipped.
struct VideoTime {
  double attention_ms = 0;  ///< attention with its exchanges, all passes
  double rest_ms = 0;
  double once_ms = 0;
  [[nodiscard]] double total_ms() const { return attention_ms + rest_ms + once_ms; }
  /// From 0 to 1; 0 when nothing takes time.
  [[nodiscard]] double attention_share() const {
    return total_ms() > 0 ? attention_ms / total_ms() : 0;
  }
};

[[nodiscard]] bool IsSkipped(const RestOfVideo& rest, int step);

/// attention_ns   of the computed cells, all passes
/// computed_cells cells whose step is not skipped
[[nodiscard]] VideoTime VideoTimeOf(const RestOfVideo& rest,
                                    double attention_ns,
                                    std::int64_t computed_cells);

/// Empty for a plan without RestOfVideo.
[[nodiscard]] std::optional<VideoTime> VideoTimeOf(const Plan& plan);
/// The same with the attention of a baseline. Empty also when the baseline has no times.
[[nodiscard]] std::optional<VideoTime> VideoTimeOf(const Plan& plan, const Baseline& baseline);

}  // namespace dbsp
