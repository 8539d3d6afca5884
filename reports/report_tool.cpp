// SPDX-License-Identifier: Apache-2.0
#include "reports/report_tool.h"

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "db/database.h"
#include "reports/document.h"
#include "reports/html.h"
#include "reports/inputs.h"
#include "reports/page_bundle.h"
#include "reports/page_data.h"

namespace dbsp::reports {
namespace {

struct Flags {
  std::string database;
  std::vector<std::string> plans;
  std::vector<std::string> compares;
  std::string output = "report.html";
  bool database_given = false;
  bool output_given = false;
  bool json = false;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--db", flags.database, "Database of dbsp-profile and dbsp-replay; read only")
      ->each(db::Database::CheckPath)
      ->group("Input");
  app.add_option("--plan",
                 flags.plans,
                 "Plan file of dbsp-tune, may be repeated (default: the plans in the database, the "
                 "best first)")
      ->allow_extra_args(false)
      ->group("Input");
  app.add_option(
         "--compare", flags.compares, "Output of dbsp-tune --compare --json, may be repeated")
      ->allow_extra_args(false)
      ->group("Input");
  app.add_option("-o,--output", flags.output, "HTML page to write; - is standard output")
      ->capture_default_str()
      ->group("Output");
  app.add_flag(
         "--json", flags.json, "Print the data document (dbsp.report/1) instead of writing a page")
      ->group("Output");
  app.footer(
      "Examples:\n"
      "  dbsp-report --db p.db --plan plan.json -o report.html\n"
      "  dbsp-report --plan plan.json -o report.html\n"
      "  dbsp-report --db p.db --plan plan.json --compare compare.json --json");
}

std::vector<InputPath> InputsOf(const Flags& flags) {
  std::vector<InputPath> inputs;
  if (!flags.database.empty()) {
    inputs.push_back({"the database", flags.database, FileUse::kDatabase});
  }
  for (const std::string& plan : flags.plans) inputs.push_back({"a plan", plan});
  for (const std::string& compare : flags.compares) inputs.push_back({"a comparison", compare});
  return inputs;
}

int Run(const Flags& flags) {
  if (!flags.database_given && flags.plans.empty() && flags.compares.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "nothing to report: give --db FILE, --plan FILE or --compare FILE");
  }
  std::vector<OutputPath> outputs;
  if (!flags.json) outputs.push_back({"-o", flags.output});
  const OpenOutputs open = CheckOutputs(outputs, InputsOf(flags));
  const auto page = BuiltPage();
  if (!page && !flags.json) {
    Fail(ErrorCode::kUnavailable,
         "the page was not built: npm was missing at build time (install npm and node 18 or newer "
         "and build again, or use --json)");
  }
  ReportPaths paths;
  paths.database = flags.database;
  paths.plans.assign(flags.plans.begin(), flags.plans.end());
  paths.compares.assign(flags.compares.begin(), flags.compares.end());
  const ReportInputs inputs = ReadInputs(paths);
  if (flags.json) {
    WriteStdout(ReportDocument(inputs) + "\n");
    if (flags.output_given) Progress("note: --json writes no page; -o is not used");
    return 0;
  }
  WriteFileAtomically(flags.output, RenderHtml(*page, ReportTitle(inputs), ReportPage(inputs)));
  Progress("wrote " + OutputName(flags.output));
  return 0;
}

}  // namespace

int ReportMain(int argc, const char* const* argv) {
  CLI::App app("Writes one self-contained HTML page from stored measurements, plans and replays.",
               "dbsp-report");
  Flags flags;
  AddFlags(app, flags);
  return RunTool(app, argc, argv, [&] {
    flags.database_given = app.count("--db") > 0;
    flags.output_given = app.count("--output") > 0;
    return Run(flags);
  });
}

}  // namespace dbsp::reports
