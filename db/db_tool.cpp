// SPDX-License-Identifier: Apache-2.0
#include "db/db_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "core/plan.h"
#include "core/terminal_text.h"
#include "db/comparison.h"
#include "db/database.h"
#include "db/import.h"
#include "db/table.h"

namespace dbsp::db {
namespace {

struct MergeFlags {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path output;
};

struct ExportFlags {
  std::filesystem::path database;
  std::string format;
  std::filesystem::path output = "-";
};

struct ImportFlags {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path database;
  std::string format;
  std::string op;
  std::string device;
};

struct CompareFlags {
  std::filesystem::path first;
  std::filesystem::path second;
  bool json = false;
  bool fail = false;
};

std::int64_t BytesOf(const std::filesystem::path& path) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(bytes);
}

std::string CountsOf(const Database& database) {
  return fmt::format("{} environments, {} trials, {} plans, {} replays, {} kernels",
                     database.Environments().size(),
                     database.Trials().size(),
                     database.Plans().size(),
                     database.Replays().size(),
                     database.Kernels().size());
}

void Merge(const MergeFlags& flags) {
  std::vector<InputPath> inputs;
  for (const auto& path : flags.inputs) {
    inputs.push_back({"a database to merge", path, FileUse::kDatabase});
  }
  const OpenOutputs open = CheckOutputs({{"-o", flags.output, FileUse::kDatabase}}, inputs);
  // All inputs are read and checked before the output is made or changed.
  std::vector<Database> sources;
  for (const auto& path : flags.inputs) {
    sources.push_back(Database::Open(path, OpenMode::kReadOnly));
  }
  Database target = Database::Open(flags.output, OpenMode::kCreate);
  std::string text;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const ImportCounts added = target.Import(sources[i]);
    text += fmt::format("{}: added {} environments, {} trials, {} plans, {} replays\n",
                        TerminalLine(flags.inputs[i].string()),
                        added.environments,
                        added.trials,
                        added.plans,
                        added.replays);
  }
  text += fmt::format("{}: {}\n", TerminalLine(flags.output.string()), CountsOf(target));
  WriteStdout(text);
}

void Check(const std::filesystem::path& path) {
  const Database database = Database::Open(path, OpenMode::kReadOnly);
  if (const Status status = database.Integrity(); !status.ok()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: {}; restore it or measure into a new file",
         path.string(),
         status.message());
  }
  const std::string counts = CountsOf(database);  // reads and checks every record
  (void)database.Counters();
  WriteStdout(fmt::format("{}: no problem found; schema version {}, {}\n",
                          TerminalLine(path.string()),
                          database.schema_version(),
                          counts));
}

void Vacuum(const std::filesystem::path& path) {
  Database database = Database::Open(path, OpenMode::kReadWrite);
  const std::int64_t before = BytesOf(path);
  database.Vacuum();
  WriteStdout(fmt::format(
      "{}: {} bytes before, {} bytes now\n", TerminalLine(path.string()), before, BytesOf(path)));
}

TableFormat FormatOf(const ExportFlags& flags) {
  const std::string suffix = flags.output.extension().string();
  if (flags.format == "csv" || (flags.format.empty() && suffix == ".csv")) return TableFormat::kCsv;
  if (flags.format == "jsonl" ||
      (flags.format.empty() && (suffix == ".jsonl" || suffix == ".ndjson"))) {
    return TableFormat::kJsonLines;
  }
  if (flags.format.empty() && IsStandardOutput(flags.output)) return TableFormat::kCsv;
  Fail(ErrorCode::kInvalidArgument,
       "-o {}: the suffix names no format; expected .csv or .jsonl, or give --format",
       flags.output.string());
}

void Export(const ExportFlags& flags) {
  const TableFormat format = FormatOf(flags);
  const OpenOutputs open =
      CheckOutputs({{"-o", flags.output}}, {{"the database", flags.database, FileUse::kDatabase}});
  const Database database = Database::Open(flags.database, OpenMode::kReadOnly);
  WriteFileAtomically(flags.output, TrialTable(database, format));
  Progress(fmt::format("wrote {}: {} trials", OutputName(flags.output), database.Trials().size()));
}

/// Hashes of the files that were imported into the database before.
std::set<std::string> ImportedHashes(const Database& database) {
  std::set<std::string> hashes;
  for (const StoredEnvironment& stored : database.Environments()) {
    const auto found = stored.provenance.extra.find(kImportHash);
    if (found != stored.provenance.extra.end()) hashes.insert(found->second);
  }
  return hashes;
}

void Import(const ImportFlags& flags) {
  std::vector<InputPath> inputs;
  for (const auto& path : flags.inputs) inputs.push_back({"a file to import", path});
  const OpenOutputs open = CheckOutputs({{"--db", flags.database, FileUse::kDatabase}}, inputs);
  std::vector<ImportedFile> files;
  for (const auto& path : flags.inputs) {
    ImportRequest request{path, {}, flags.op, flags.device};
    if (!flags.format.empty()) request.format = ParseImportFormat(flags.format);
    files.push_back(ReadImport(request));
  }
  Database database = Database::Open(flags.database, OpenMode::kCreate);
  std::set<std::string> known = ImportedHashes(database);
  std::string text;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string name = TerminalLine(flags.inputs[i].string());
    for (const std::string& note : files[i].notes) Progress("note: " + name + ": " + note);
    if (!known.insert(files[i].runs.front().provenance.extra.at(kImportHash)).second) {
      Progress(fmt::format("note: {}: was imported before; nothing is added", name));
      continue;
    }
    std::int64_t trials = 0;
    for (const ImportedRun& run : files[i].runs) {
      const std::int64_t environment = database.AddEnvironment(run.provenance);
      for (const Trial& trial : run.trials) database.AddTrial(environment, trial);
      trials += static_cast<std::int64_t>(run.trials.size());
    }
    text += fmt::format("{}: {}, {} trials of {}\n",
                        name,
                        NameOf(files[i].format),
                        trials,
                        TerminalLine(files[i].runs.front().provenance.device_name));
  }
  WriteStdout(text);
  if (text.empty()) return;
  Progress("note: dbsp-tune uses the device that was measured last; --db-device names another one");
}

bool IsDatabase(const std::filesystem::path& path) {
  RequireRegularFile(path);
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) Fail(ErrorCode::kIo, "{}: cannot be read", path.string());
  char begin[16] = {};
  const std::size_t got = std::fread(begin, 1, sizeof begin, file);
  std::fclose(file);
  return std::string_view(begin, got) == std::string_view("SQLite format 3\0", 16);
}

int Compare(const CompareFlags& flags) {
  const bool databases = IsDatabase(flags.first);
  if (databases != IsDatabase(flags.second)) {
    Fail(ErrorCode::kInvalidArgument,
         "{} and {}: one is a database and the other is not; give two databases or two plans",
         flags.first.string(),
         flags.second.string());
  }
  const std::string first = flags.first.string();
  const std::string second = flags.second.string();
  const Comparison comparison =
      databases ? CompareDatabases(Database::Open(flags.first, OpenMode::kReadOnly),
                                   Database::Open(flags.second, OpenMode::kReadOnly))
                : ComparePlans(ReadPlan(flags.first), ReadPlan(flags.second));
  WriteStdout(flags.json ? ComparisonJson(comparison, first, second)
                         : ComparisonText(comparison, first, second));
  for (const std::string& note : comparison.notes) Progress("note: " + note);
  if (comparison.rows.empty()) {
    Fail(ErrorCode::kMismatch,
         "{} and {} have no finished trial of the same configuration and method; measure both with "
         "the same dbsp-profile flags",
         first,
         second);
  }
  return flags.fail && comparison.Count(GainVerdict::kSlower) > 0 ? 1 : 0;
}

CLI::App* AddImport(CLI::App& app, ImportFlags& flags) {
  CLI::App* command = app.add_subcommand("import", "Add times that other programs measured");
  command->add_option("files", flags.inputs, "Files to import")->required();
  command->add_option("--db", flags.database, "Database to add to; made if it is missing")
      ->required()
      ->each(Database::CheckPath);
  command->add_option("--format", flags.format, "Format of the files (default: by their content)")
      ->check(CLI::IsMember(ImportFormatNames()));
  command->add_option(
      "--op", flags.op, "Collective of an nccl-tests table that does not name it, as alltoall");
  command->add_option("--device", flags.device, "Name of the device where a file has none");
  command->footer(
      "Examples:\n"
      "  dbsp-db import alltoall.txt --db p.db\n"
      "  dbsp-db import results.csv --device 'NVIDIA H200' --db p.db");
  return command;
}

CLI::App* AddExport(CLI::App& app, ExportFlags& flags) {
  CLI::App* command = app.add_subcommand("export", "Write every trial as CSV or JSON lines");
  command->add_option("database", flags.database, "Database")->required();
  command->add_option("--format", flags.format, "csv or jsonl (default: by the output's suffix)")
      ->check(CLI::IsMember({"csv", "jsonl"}));
  command->add_option("-o,--output", flags.output, "File to write; - is standard output")
      ->capture_default_str();
  return command;
}

CLI::App* AddCompare(CLI::App& app, CompareFlags& flags) {
  CLI::App* command = app.add_subcommand(
      "compare", "Compare two databases or two plans: FASTER, SLOWER, SAME or AMBIGUOUS per row");
  command->add_option("first", flags.first, "Database or plan A")->required();
  command->add_option("second", flags.second, "Database or plan B")->required();
  command->add_flag("--json", flags.json, "Print one JSON document instead of the table");
  command->add_flag("--fail-on-slower", flags.fail, "Exit code 1 if a row is SLOWER");
  command->footer("Example:\n  dbsp-db compare before.db after.db --fail-on-slower");
  return command;
}

}  // namespace

int DbMain(int argc, const char* const* argv) {
  CLI::App app(
      "Works on databases of dbsp-profile and dbsp-replay.\n"
      "'dbsp-db COMMAND --help' lists the options of a command.",
      "dbsp-db");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  dbsp-db merge node0.db node1.db -o all.db\n"
      "  dbsp-db compare before.db after.db");
  MergeFlags merge_flags;
  CLI::App* merge = app.add_subcommand("merge", "Add databases to one; equal records once");
  merge->add_option("databases", merge_flags.inputs, "Databases to read")->required();
  merge->add_option("-o,--output", merge_flags.output, "Database to add to; made if it is missing")
      ->required()
      ->each(Database::CheckPath);
  std::filesystem::path checked;
  CLI::App* check = app.add_subcommand("check", "Read and check every record of a database");
  check->add_option("database", checked, "Database")->required();
  std::filesystem::path vacuumed;
  CLI::App* vacuum = app.add_subcommand("vacuum", "Make the file as small as its records");
  vacuum->add_option("database", vacuumed, "Database")->required()->each(Database::CheckPath);
  ExportFlags export_flags;
  ImportFlags import_flags;
  CompareFlags compare_flags;
  CLI::App* export_command = AddExport(app, export_flags);
  CLI::App* import_command = AddImport(app, import_flags);
  CLI::App* compare = AddCompare(app, compare_flags);
  return RunTool(app, argc, argv, [&] {
    if (merge->parsed()) Merge(merge_flags);
    if (check->parsed()) Check(checked);
    if (vacuum->parsed()) Vacuum(vacuumed);
    if (export_command->parsed()) Export(export_flags);
    if (import_command->parsed()) Import(import_flags);
    return compare->parsed() ? Compare(compare_flags) : 0;
  });
}

}  // namespace dbsp::db
