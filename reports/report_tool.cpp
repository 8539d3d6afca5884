// SPDX-License-Identifier: Apache-2.0
#include "reports/report_tool.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "core/suggest.h"
#include "db/database.h"
#include "reports/document.h"
#include "reports/document_parts.h"
#include "reports/exports.h"
#include "reports/html.h"
#include "reports/inputs.h"
#include "reports/page_bundle.h"
#include "reports/page_data.h"

namespace dbsp::reports {
namespace {

enum class Format : std::uint8_t { kHtml, kJson, kCsv, kChromeTrace, kMarkdown };

struct FormatName {
  const char* name;
  Format format;
  const char* output;  ///< where it goes without -o
};
constexpr std::array<FormatName, 5> kFormats{
    {{"html", Format::kHtml, "report.html"},
     {"json", Format::kJson, "-"},
     {"csv", Format::kCsv, "report-csv"},
     {"chrome-trace", Format::kChromeTrace, "report-trace"},
     {"markdown", Format::kMarkdown, "-"}}};

struct Flags {
  std::string database;
  std::vector<std::string> plans;
  std::vector<std::string> compares;
  std::string format = "html";
  std::string table;
  std::string output;
  bool database_given = false;
  bool format_given = false;
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
         "--compare",
         flags.compares,
         "Output of dbsp-tune --compare --json, or a plan to compare with the first one, may "
         "be repeated")
      ->allow_extra_args(false)
      ->group("Input");
  app.add_option("--format",
                 flags.format,
                 "html (the page), json (its data), csv (tables), chrome-trace (timelines for "
                 "Perfetto) or markdown (a comment for a pull request)")
      ->capture_default_str()
      ->group("Output");
  app.add_option("--table", flags.table, "With --format csv: one table instead of all of them")
      ->group("Output");
  app.add_option("-o,--output",
                 flags.output,
                 "File to write, - is standard output; a folder for the tables of csv and for "
                 "chrome-trace (default: report.html, report-csv, report-trace, otherwise standard "
                 "output)")
      ->group("Output");
  app.add_flag("--json", flags.json, "--format json")->group("Output");
  app.footer(
      "Examples:\n"
      "  dbsp-report --db p.db --plan plan.json -o report.html\n"
      "  dbsp-report --plan plan.json --format markdown\n"
      "  dbsp-report --db p.db --format csv --table trials -o trials.csv\n"
      "  dbsp-report --db p.db --plan plan.json --format chrome-trace -o traces");
}

/// The format with its default output in `flags`.
Format FormatOf(Flags& flags) {
  if (flags.json) {
    if (flags.format_given && flags.format != "json") {
      Fail(ErrorCode::kInvalidArgument,
           "--json is --format json, and --format {} was given too: leave out one of them",
           flags.format);
    }
    flags.format = "json";
  }
  const auto found = std::ranges::find(kFormats, std::string_view(flags.format), &FormatName::name);
  if (found == kFormats.end()) {
    std::vector<std::string> known;
    for (const FormatName& format : kFormats) known.emplace_back(format.name);
    Fail(ErrorCode::kInvalidArgument, "{}", UnknownName("--format", flags.format, known));
  }
  const Format format = found->format;
  if (!flags.table.empty()) {
    if (format != Format::kCsv) {
      Fail(ErrorCode::kInvalidArgument, "--table {}: only --format csv writes tables", flags.table);
    }
    const std::vector<std::string> known = TableNames();
    if (std::ranges::find(known, flags.table) == known.end()) {
      Fail(ErrorCode::kInvalidArgument, "{}", UnknownName("--table", flags.table, known));
    }
  }
  if (!flags.output_given) flags.output = flags.table.empty() ? found->output : "-";
  const bool folder =
      format == Format::kChromeTrace || (format == Format::kCsv && flags.table.empty());
  if (folder && IsStandardOutput(flags.output)) {
    Fail(ErrorCode::kInvalidArgument,
         "-o {}: --format {} writes several files: name a folder{}",
         flags.output,
         flags.format,
         format == Format::kCsv ? ", or one table with --table" : "");
  }
  return format;
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

ReportInputs Read(const Flags& flags) {
  ReportPaths paths;
  paths.database = flags.database;
  paths.plans.assign(flags.plans.begin(), flags.plans.end());
  paths.compares.assign(flags.compares.begin(), flags.compares.end());
  return ReadInputs(paths);
}

/// Writes files into the folder -o, which it makes. All texts are made before the first is written.
void WriteFolder(const Flags& flags, const std::vector<ExportFile>& files) {
  const std::filesystem::path folder = flags.output;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) Fail(ErrorCode::kIo, "{}: cannot make the folder: {}", flags.output, error.message());
  for (const ExportFile& file : files) WriteFileAtomically(folder / file.name, file.text);
  Progress(fmt::format("wrote {} files into {}", files.size(), OutputName(folder)));
}

OpenOutputs CheckFolder(const Flags& flags, const std::vector<std::string>& names) {
  std::vector<OutputPath> outputs;
  for (const std::string& name : names) {
    outputs.push_back({"-o", std::filesystem::path(flags.output) / name, FileUse::kFile, true});
  }
  return CheckOutputs(outputs, InputsOf(flags));
}

int RunTraces(const Flags& flags) {
  const ReportInputs inputs = Read(flags);  // the plans say how many files there are
  const OpenOutputs open = CheckFolder(flags, TraceNames(inputs));
  WriteFolder(flags, TraceFiles(inputs));
  return 0;
}

int RunTables(const Flags& flags) {
  std::vector<std::string> names;
  for (const std::string& table : TableNames()) names.push_back(table + ".csv");
  const OpenOutputs open = CheckFolder(flags, names);
  std::vector<ExportFile> files;
  for (const Table& table : TablesOf(MakeDocument(Read(flags)))) {
    files.push_back({table.name + ".csv", CsvText(table)});
  }
  WriteFolder(flags, files);
  return 0;
}

std::string TextOf(const Flags& flags, Format format, const PageBundle* page) {
  const ReportInputs inputs = Read(flags);
  if (format == Format::kHtml) {
    return RenderHtml(*page, ReportTitle(inputs), ReportPage(inputs));
  }
  if (format == Format::kJson) return ReportDocument(inputs) + "\n";
  const Json document = MakeDocument(inputs);
  if (format == Format::kMarkdown) return MarkdownText(document, ReportTitle(inputs));
  const std::vector<Table> tables = TablesOf(document);
  return CsvText(*std::ranges::find(tables, flags.table, &Table::name));
}

int Run(Flags& flags) {
  const Format format = FormatOf(flags);
  if (!flags.database_given && flags.plans.empty() && flags.compares.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "nothing to report: give --db FILE, --plan FILE or --compare FILE");
  }
  if (format == Format::kChromeTrace) return RunTraces(flags);
  if (format == Format::kCsv && flags.table.empty()) return RunTables(flags);
  const OpenOutputs open = CheckOutputs({{"-o", flags.output}}, InputsOf(flags));
  const auto page = BuiltPage();
  if (!page && format == Format::kHtml) {
    Fail(ErrorCode::kUnavailable,
         "the page was not built: npm was missing at build time (install npm and node 18 or newer "
         "and build again, or use another --format)");
  }
  const std::string text = TextOf(flags, format, page ? &*page : nullptr);
  if (flags.output == "-" && format == Format::kJson) {
    WriteStdout(text);
    return 0;
  }
  WriteFileAtomically(flags.output, text);
  if (flags.output_given || format == Format::kHtml) Progress("wrote " + OutputName(flags.output));
  return 0;
}

}  // namespace

int ReportMain(int argc, const char* const* argv) {
  CLI::App app(
      "Writes one self-contained HTML page, or tables, traces or a comment, from stored "
      "measurements, plans and replays.",
      "dbsp-report");
  Flags flags;
  AddFlags(app, flags);
  return RunTool(app, argc, argv, [&] {
    flags.database_given = app.count("--db") > 0;
    flags.output_given = app.count("--output") > 0;
    flags.format_given = app.count("--format") > 0;
    return Run(flags);
  });
}

}  // namespace dbsp::reports
