// SPDX-License-Identifier: Apache-2.0
// dbsp-report: one self-contained HTML page from a database, plans and compare documents.
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "reports/document.h"
#include "reports/html.h"
#include "reports/inputs.h"
#include "reports/page_bundle.h"

namespace {

struct Flags {
  std::string database;
  std::vector<std::string> plans;
  std::vector<std::string> compares;
  std::string workload;
  std::string output = "report.html";
  bool json = false;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--db", flags.database, "Database to report on; it is only read")->required();
  app.add_option(
         "--plan", flags.plans, "Plan file, may be repeated; without it the database's own plans")
      ->allow_extra_args(false);
  app.add_option(
         "--compare", flags.compares, "What dbsp-tune --compare --json printed, may be repeated")
      ->allow_extra_args(false);
  app.add_option(
      "--workload", flags.workload, "Workload file, when the plan cannot find its array files");
  app.add_option("-o,--output", flags.output, "Page to write")->capture_default_str();
  app.add_flag(
      "--json", flags.json, "Print the data document (dbsp.report/1) instead of writing a page");
}

int Run(const Flags& flags) {
  using namespace dbsp;
  const auto page = reports::BuiltPage();
  if (!page && !flags.json) {
    Fail(
        ErrorCode::kUnavailable,
        "page was not built: npm missing at build time (install npm and node 18 or newer and build "
        "again, or use --json)");
  }
  reports::ReportPaths paths;
  paths.database = flags.database;
  paths.plans.assign(flags.plans.begin(), flags.plans.end());
  paths.compares.assign(flags.compares.begin(), flags.compares.end());
  if (!flags.workload.empty()) paths.workload = flags.workload;
  const reports::ReportInputs inputs = reports::ReadInputs(paths);
  const std::string document = reports::ReportDocument(inputs);
  if (flags.json) {
    WriteStdout(document + "\n");
    return 0;
  }
  WriteFileAtomically(flags.output,
                      reports::RenderHtml(*page, reports::ReportTitle(inputs), document));
  Progress("wrote " + flags.output);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("One self-contained HTML page from stored records", "dbsp-report");
  Flags flags;
  AddFlags(app, flags);
  return dbsp::RunTool(app, argc, argv, [&] { return Run(flags); });
}
