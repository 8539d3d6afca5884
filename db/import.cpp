// SPDX-License-Identifier: Apache-2.0
#include "db/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/file.h"
#include "core/suggest.h"
#include "db/import_formats.h"

namespace dbsp::db {
namespace {

struct FormatName {
  ImportFormat format;
  const char* name;
};

constexpr std::array<FormatName, 7> kNames{{
    {ImportFormat::kNcclTests, "nccl-tests"},
    {ImportFormat::kNcclTestsJson, "nccl-tests-json"},
    {ImportFormat::kGoogleBenchmark, "google-benchmark"},
    {ImportFormat::kTorchProfiler, "torch-profiler"},
    {ImportFormat::kNsys, "nsys"},
    {ImportFormat::kCsv, "csv"},
    {ImportFormat::kJsonLines, "jsonl"},
}};

constexpr std::string_view kSqlite{"SQLite format 3\0", 16};

constexpr std::size_t kApplicationIdAt = 68;  ///< in the header of an SQLite file

bool IsJson(std::optional<ImportFormat> format) {
  return format == ImportFormat::kNcclTestsJson || format == ImportFormat::kGoogleBenchmark ||
         format == ImportFormat::kTorchProfiler;
}

/// Format of a text that is not a database; empty if it is one JSON document, or nothing known.
std::optional<ImportFormat> FormatOfText(std::string_view text, const std::string& suffix) {
  if (suffix == ".csv") return ImportFormat::kCsv;
  if (suffix == ".jsonl" || suffix == ".ndjson") return ImportFormat::kJsonLines;
  if (text.find("# nThread ") != std::string_view::npos ||
      text.find("# Collective test starting") != std::string_view::npos) {
    return ImportFormat::kNcclTests;
  }
  return std::nullopt;
}

std::optional<ImportFormat> FormatOfDocument(const JsonView& view) {
  if (!view.raw().is_object()) return std::nullopt;
  if (view.Has("traceEvents")) return ImportFormat::kTorchProfiler;
  if (view.Has("benchmarks")) return ImportFormat::kGoogleBenchmark;
  if (view.Has("results")) return ImportFormat::kNcclTestsJson;
  return std::nullopt;
}

[[noreturn]] void FailUnknown(const std::string& origin) {
  std::string names;
  for (const std::string& name : ImportFormatNames()) names += (names.empty() ? "" : ", ") + name;
  Fail(ErrorCode::kInvalidArgument,
       "{}: of no known format; name it with --format ({})",
       origin,
       names);
}

ImportedFile ReadDocument(const std::string& text,
                          const std::string& origin,
                          const ImportRequest& request) {
  const Json json = ParseJson(text, origin);
  const JsonView view(json, origin);
  const auto format = request.format ? request.format : FormatOfDocument(view);
  if (!format) FailUnknown(origin);
  switch (*format) {
    case ImportFormat::kTorchProfiler:
      return ReadTorchProfiler(view, request);
    case ImportFormat::kGoogleBenchmark:
      return ReadGoogleBenchmark(view, request);
    default:
      return ReadNcclTestsJson(view, request);
  }
}

ImportedFile Read(const std::string& bytes, const ImportRequest& request) {
  const std::string origin = request.path.string();
  auto format = request.format;
  const bool sqlite = std::string_view(bytes).starts_with(kSqlite);
  if (sqlite && bytes.size() > kApplicationIdAt + 4 &&
      bytes.compare(kApplicationIdAt, 4, "dbsp") == 0) {
    Fail(ErrorCode::kInvalidArgument, "{}: a dbsp database; use dbsp-db merge", origin);
  }
  if (sqlite && !format) format = ImportFormat::kNsys;
  if (format == ImportFormat::kNsys) {
    if (!sqlite) {
      Fail(ErrorCode::kCorruptInput,
           "{}: not an SQLite file; make one with 'nsys export --type sqlite'",
           origin);
    }
    return ReadNsys(request);
  }
  if (sqlite) {
    Fail(ErrorCode::kInvalidArgument, "{}: an SQLite file; use --format nsys", origin);
  }
  if (!format) format = FormatOfText(bytes, request.path.extension().string());
  const std::size_t begin = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  const bool brace = begin != std::string::npos && bytes[begin] == '{';
  if (IsJson(format) || (!format && brace)) return ReadDocument(bytes, origin, request);
  if (!format) FailUnknown(origin);
  if (*format == ImportFormat::kCsv) return ReadCsv(bytes, request);
  if (*format == ImportFormat::kJsonLines) return ReadJsonLines(bytes, request);
  return ReadNcclTests(bytes, request);
}

}  // namespace

const char* NameOf(ImportFormat format) {
  const auto found =
      std::ranges::find_if(kNames, [&](const FormatName& item) { return item.format == format; });
  return found->name;
}

std::vector<std::string> ImportFormatNames() {
  std::vector<std::string> names;
  for (const FormatName& item : kNames) names.emplace_back(item.name);
  return names;
}

ImportFormat ParseImportFormat(std::string_view name) {
  for (const FormatName& item : kNames) {
    if (name == item.name) return item.format;
  }
  throw Error(ErrorCode::kInvalidArgument,
              "--format: " + UnknownName("format", name, ImportFormatNames()));
}

ImportedFile ReadImport(const ImportRequest& request) {
  const std::string bytes = ReadFile(request.path, kMaxTextBytes);
  ImportedFile file = Read(bytes, request);
  std::erase_if(file.runs, [](const ImportedRun& run) { return run.trials.empty(); });
  if (file.runs.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: no time to import from a file of format {}",
         request.path.string(),
         NameOf(file.format));
  }
  const std::string hash = HashBytes(bytes);
  for (ImportedRun& run : file.runs) {
    Provenance& p = run.provenance;
    if (p.device_name.empty()) p.device_name = request.device;
    if (p.device_name.empty()) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: the file does not name the device; give --device NAME",
           request.path.string());
    }
    if (p.started_utc.empty()) p.started_utc = NowUtc();
    for (Trial& trial : run.trials) {
      if (trial.started_utc.empty()) trial.started_utc = p.started_utc;
    }
    p.argv = {"dbsp-db", "import", request.path.filename().string()};
    p.extra["import_format"] = NameOf(file.format);
    p.extra["import_file"] = request.path.filename().string();
    p.extra[kImportHash] = hash;
  }
  return file;
}

}  // namespace dbsp::db
