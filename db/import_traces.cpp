// SPDX-License-Identifier: Apache-2.0
// Google Benchmark's JSON, and kernels of torch.profiler and Nsight Systems.
#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "db/import_formats.h"
#include "db/sqlite.h"

namespace dbsp::db {
namespace {

/// Most launches of one name that are kept. More of them say nothing new about its time.
constexpr std::size_t kMostLaunches = 10'000;
constexpr int kPushPop = 59;  ///< NVTX_EVENTS.eventType of a push-pop range
constexpr int kStartEnd = 60;

double UnitOf(const JsonView& item) {
  if (!item.Has("time_unit")) return 1;
  const std::string unit = item["time_unit"].String();
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  item["time_unit"].Wrong("ns, us, ms or s");
}

/// Times by name, at most kMostLaunches each.
class Launches {
 public:
  void Add(const std::string& name, std::int64_t ns) {
    if (++counts_[name] > kMostLaunches) {
      ++dropped_;
      return;
    }
    times_.Add(name, ns);
  }
  void MoveTo(ImportedRun& run, const std::string& method, std::vector<std::string>& notes) {
    times_.MoveTo(run, method);
    if (dropped_ == 0) return;
    notes.push_back(fmt::format(
        "{} launches were left out: the first {} of each name are kept", dropped_, kMostLaunches));
  }

 private:
  NamedTimes times_;
  std::map<std::string, std::size_t> counts_;
  std::int64_t dropped_ = 0;
};

struct TypeSize {
  const char* name;
  int bytes;
};
constexpr std::array<TypeSize, 14> kTypes{{{"Float", 4},
                                           {"BFloat16", 2},
                                           {"Half", 2},
                                           {"Double", 8},
                                           {"Byte", 1},
                                           {"Char", 1},
                                           {"Bool", 1},
                                           {"Short", 2},
                                           {"Int", 4},
                                           {"Long", 8},
                                           {"Float8_e4m3fn", 1},
                                           {"Float8_e5m2", 1},
                                           {"ComplexFloat", 8},
                                           {"ComplexDouble", 16}}};

/// Configuration of a collective whose arguments say all of it.
std::optional<ExchangeConfig> CollectiveOf(const JsonView& event) {
  if (!event.Has("args") || !event["args"].raw().is_object()) return std::nullopt;
  const JsonView args = event["args"];
  for (const char* key :
       {"Collective name", "In msg nelems", "Out msg nelems", "Group size", "dtype"}) {
    if (!args.Has(key)) return std::nullopt;
  }
  const std::string dtype = args["dtype"].String();
  const auto type =
      std::ranges::find_if(kTypes, [&](const TypeSize& item) { return dtype == item.name; });
  const auto ranks = static_cast<int>(args["Group size"].Int(0, 1 << 20));
  if (type == kTypes.end() || ranks < 2) return std::nullopt;
  ExchangeConfig config;
  config.op = OpOf(args["Collective name"].String());
  config.transport = "nccl";
  config.ranks = ranks;
  const char* side = config.op == "allgather" ? "Out msg nelems" : "In msg nelems";
  const std::int64_t size = args[side].Int(0, std::int64_t{1} << 50) * type->bytes;
  config.bytes_per_rank = BytesPerRank(config.op, size, ranks);
  return config;
}

Trial ExchangeTrial(const std::string& key, std::vector<std::int64_t> samples) {
  Trial trial;
  trial.suite = "import";
  trial.config = ConfigOf(key);
  trial.method = "import.torch-profiler";
  trial.stop_reason = "imported";
  trial.samples_ns = std::move(samples);
  return trial;
}

/// A table of another program's SQLite file.
class ForeignTable {
 public:
  ForeignTable(const Connection& connection, std::string name) : name_(std::move(name)) {
    Statement rows = connection.Prepare(fmt::format("PRAGMA table_info({})", name_));
    while (rows.Step()) columns_.push_back(rows.Text(1));
  }
  [[nodiscard]] bool exists() const { return !columns_.empty(); }
  [[nodiscard]] bool Has(const std::string& column) const {
    return std::ranges::find(columns_, column) != columns_.end();
  }
  void Require(const Connection& connection, const std::string& column) const {
    if (Has(column)) return;
    Fail(ErrorCode::kCorruptInput,
         "{}: table {} has no column {}; this version of Nsight Systems is not known",
         connection.label(),
         name_,
         column);
  }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::vector<std::string> columns_;
};

/// Adds rows (rowid, name, start, end).
void AddRows(Statement& rows,
             const std::string& where,
             const std::string& prefix,
             Launches& launches,
             std::int64_t& not_collected) {
  while (rows.Step()) {
    const std::string place = fmt::format("{}, row {}", where, rows.Integer(0));
    if (rows.IsNull(1)) {
      Fail(ErrorCode::kCorruptInput, "{}, name: none, expected an entry of StringIds", place);
    }
    const std::int64_t start = rows.Integer(2);
    const std::int64_t end = rows.Integer(3);
    if (start == 0 && end == 0) {
      ++not_collected;
      continue;
    }
    std::int64_t duration = 0;
    if (__builtin_sub_overflow(end, start, &duration)) duration = -1;
    launches.Add(prefix + rows.Text(1), TimeOf(static_cast<double>(duration), 1, place + ", end"));
  }
}

std::string GpuName(const Connection& connection) {
  const ForeignTable table(connection, "TARGET_INFO_GPU");
  if (!table.Has("name")) return "";
  Statement rows = connection.Prepare("SELECT name FROM TARGET_INFO_GPU LIMIT 1");
  return rows.Step() && !rows.IsNull(0) ? rows.Text(0) : "";
}

}  // namespace

ImportedFile ReadGoogleBenchmark(const JsonView& document, const ImportRequest& request) {
  const std::string origin = request.path.string();
  ImportedFile out;
  out.format = ImportFormat::kGoogleBenchmark;
  ImportedRun run;
  Provenance& p = run.provenance;
  p.device_kind = "cpu";
  const JsonView context = document["context"];
  if (context.Has("host_name")) p.host = context["host_name"].String();
  if (context.Has("num_cpus")) p.cores = static_cast<int>(context["num_cpus"].Int(0, 1 << 20));
  if (request.device.empty()) p.device_name = fmt::format("CPU of {}", p.host);
  std::int64_t aggregates = 0;
  std::int64_t failed = 0;
  NamedTimes times;
  NamedTimes medians;
  for (const JsonView& item : document["benchmarks"].Items()) {
    const std::string name =
        item.Has("run_name") ? item["run_name"].String() : item["name"].String();
    if (item.Has("error_occurred") && item["error_occurred"].Bool()) {
      ++failed;
      continue;
    }
    const bool aggregate = item.Has("run_type") && item["run_type"].String() == "aggregate";
    const bool median = aggregate && item["aggregate_name"].String() == "median";
    aggregates += aggregate ? 1 : 0;
    if (aggregate && !median) continue;
    const std::int64_t ns = TimeOf(item["real_time"].Number(),
                                   UnitOf(item),
                                   fmt::format("{}: benchmark '{}', real_time", origin, name));
    (median ? medians : times).Add("benchmark:" + name, ns);
  }
  (times.empty() ? medians : times).MoveTo(run, "import.google-benchmark");
  if (aggregates > 0) {
    out.notes.push_back(
        fmt::format("{} aggregates were left out; medians are used where there are no repetitions",
                    aggregates));
  }
  if (failed > 0)
    out.notes.push_back(fmt::format("{} benchmarks that failed were left out", failed));
  out.runs.push_back(std::move(run));
  return out;
}

ImportedFile ReadTorchProfiler(const JsonView& document, const ImportRequest& /*request*/) {
  ImportedFile out;
  out.format = ImportFormat::kTorchProfiler;
  ImportedRun run;
  run.provenance.device_kind = "cuda";
  if (document.Has("deviceProperties") && document["deviceProperties"].size() > 0) {
    run.provenance.device_name = document["deviceProperties"][0]["name"].String();
  }
  if (document.Has("distributedInfo") && document["distributedInfo"].Has("rank")) {
    run.provenance.extra["rank"] = std::to_string(document["distributedInfo"]["rank"].Int(0));
  }
  Launches launches;
  std::map<std::string, std::vector<std::int64_t>> collectives;
  for (const JsonView& event : document["traceEvents"].Items()) {
    if (!event.Has("cat") || !event["cat"].raw().is_string()) continue;
    if (event["cat"].String() != "kernel") continue;
    const JsonView duration = event["dur"];
    const double us = duration.Number();
    if (us <= 0) duration.Wrong("a time above 0");
    const std::int64_t ns = TimeOf(us, kUs, "dur");
    if (const auto config = CollectiveOf(event)) {
      collectives[KeyOf(*config)].push_back(ns);
    } else {
      launches.Add("kernel:" + event["name"].String(), ns);
    }
  }
  launches.MoveTo(run, "import.torch-profiler", out.notes);
  for (auto& [key, samples] : collectives) {
    run.trials.push_back(ExchangeTrial(key, std::move(samples)));
  }
  if (!collectives.empty()) {
    out.notes.push_back(
        "times of collectives are those of one rank and contain its wait for the last rank");
  }
  out.runs.push_back(std::move(run));
  return out;
}

ImportedFile ReadNsys(const ImportRequest& request) {
  const std::string origin = request.path.string();
  const Connection connection(origin, SQLITE_OPEN_READONLY, origin);
  ImportedFile out;
  out.format = ImportFormat::kNsys;
  ImportedRun run;
  run.provenance.device_kind = "cuda";
  run.provenance.device_name = GpuName(connection);
  const ForeignTable kernels(connection, "CUPTI_ACTIVITY_KIND_KERNEL");
  const ForeignTable ranges(connection, "NVTX_EVENTS");
  const ForeignTable strings(connection, "StringIds");
  if (!kernels.exists() && !ranges.exists()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: neither CUPTI_ACTIVITY_KIND_KERNEL nor NVTX_EVENTS is in it; expected a file of "
         "'nsys export --type sqlite' with kernels",
         origin);
  }
  Launches launches;
  std::int64_t not_collected = 0;
  if (kernels.exists()) {
    for (const char* column : {"start", "end"}) kernels.Require(connection, column);
    strings.Require(connection, "value");
    const char* const name = kernels.Has("demangledName") ? "demangledName" : "shortName";
    kernels.Require(connection, name);
    Statement rows = connection.Prepare(
        fmt::format("SELECT k.rowid, s.value, k.start, k.\"end\" FROM CUPTI_ACTIVITY_KIND_KERNEL k "
                    "LEFT JOIN StringIds s ON s.id = k.{} ORDER BY k.rowid",
                    name));
    AddRows(rows, origin + ": CUPTI_ACTIVITY_KIND_KERNEL", "kernel:", launches, not_collected);
  }
  if (ranges.exists() && strings.exists()) {
    for (const char* column : {"start", "end", "eventType", "text"}) {
      ranges.Require(connection, column);
    }
    const char* const text = ranges.Has("textId") ? "coalesce(n.text, s.value)" : "n.text";
    const char* const join = ranges.Has("textId") ? "LEFT JOIN StringIds s ON s.id = n.textId" : "";
    Statement rows = connection.Prepare(
        fmt::format("SELECT n.rowid, {}, n.start, n.\"end\" FROM NVTX_EVENTS n {} WHERE "
                    "n.eventType IN ({}, {}) "
                    "AND n.\"end\" IS NOT NULL AND {} IS NOT NULL ORDER BY n.rowid",
                    text,
                    join,
                    kPushPop,
                    kStartEnd,
                    text));
    AddRows(rows, origin + ": NVTX_EVENTS", "nvtx:", launches, not_collected);
  }
  launches.MoveTo(run, "import.nsys", out.notes);
  if (not_collected > 0) {
    out.notes.push_back(
        fmt::format("{} rows whose times were not collected were left out", not_collected));
  }
  out.runs.push_back(std::move(run));
  return out;
}

}  // namespace dbsp::db
