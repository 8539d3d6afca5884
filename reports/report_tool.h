// SPDX-License-Identifier: Apache-2.0
// dbsp-report: writes one self-contained HTML page from a database, plans and compare documents.
#pragma once

namespace dbsp::reports {

/// The tool's main(): flags, run, exit code. The page is written completely or not at all.
int ReportMain(int argc, const char* const* argv);

}  // namespace dbsp::reports
