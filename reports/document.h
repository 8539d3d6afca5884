// SPDX-License-Identifier: Apache-2.0
// The data document of a report: one JSON text with all data of the page.
// Format: docs/formats/report.md ("dbsp.report/1").
#pragma once

#include <string>

#include "reports/inputs.h"
#include "reports/limits.h"

namespace dbsp::reports {

/// Canonical JSON: sorted keys, non-finite numbers as null. Equal inputs give equal text.
/// ensures  the text is valid by docs/formats/report.schema.json
/// errors   Error{kCorruptInput} for a compare document or stored replay with impossible contents;
///          Error{kInternal} with the first key of a document that is not valid
/// threads  pure, safe concurrently
[[nodiscard]] std::string ReportDocument(const ReportInputs& inputs,
                                         const ReportLimits& limits = {});

/// Heading of the page: "dbsp report: WORKLOAD on P ranks", or without plans the database's name.
[[nodiscard]] std::string ReportTitle(const ReportInputs& inputs);

}  // namespace dbsp::reports
