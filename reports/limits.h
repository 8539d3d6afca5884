// SPDX-License-Identifier: Apache-2.0
// Limits on the size of a report.
#pragma once

#include <cstddef>

namespace dbsp::reports {

/// How much of a large database or plan a report contains. The report counts what it leaves out.
struct ReportLimits {
  std::size_t shown_cells = 4000;  ///< distinct cells with load and timeline, per plan
  std::size_t cells = 20000;  ///< cells of the strategy matrix, per plan
  std::size_t segments = 1000000;  ///< segments of all timelines of a plan
  std::size_t mask_bytes = 4'000'000;  ///< masks of one cell, one bit per block, per plan
  std::size_t trials = 20000;
  std::size_t replays = 8;  ///< per plan
  std::size_t environments = 50;
};

}  // namespace dbsp::reports
