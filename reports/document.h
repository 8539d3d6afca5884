// SPDX-License-Identifier: Apache-2.0
// The data document of a report: everything the page shows, as one JSON text.
// Format: docs/formats/report.md ("dbsp.report/1").
#pragma once

#include <cstdint>
#include <string>

#include "reports/inputs.h"

namespace dbsp::reports {

/// How much of a large database or plan the page keeps; what is left out is counted in it.
struct ReportLimits {
  std::size_t shown_cells = 24;  ///< distinct cells with load and timeline, per plan
  std::size_t cells = 20000;  ///< squares of the strategy matrix
  std::size_t segments = 200000;  ///< of all timelines of a plan
  std::size_t trials = 20000;
  std::size_t replays = 8;  ///< per plan
  std::size_t environments = 50;
};

/// Canonical JSON (sorted keys, non-finite numbers as null), the same for the same inputs.
/// errors   Error{kCorruptInput} for a compare document or stored replay that makes no sense
/// threads  pure but for reading the array files a plan's masks refer to
[[nodiscard]] std::string ReportDocument(const ReportInputs& inputs,
                                         const ReportLimits& limits = {});

/// What the page is headed with: "dbsp report: WORKLOAD on P ranks", or the database's name.
[[nodiscard]] std::string ReportTitle(const ReportInputs& inputs);

}  // namespace dbsp::reports
