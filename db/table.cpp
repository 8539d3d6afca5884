// SPDX-License-Identifier: Apache-2.0
#include "db/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/json.h"
#include "core/statistics.h"
#include "core/suggest.h"
#include "db/comparison.h"
#include "db/import_formats.h"

namespace dbsp::db {
namespace {

/// Columns in their order. Those of the configuration are in "config" as one JSON text, too.
const std::vector<std::string>& ExportColumns() {
  static const std::vector<std::string> columns{
      "device_kind", "device",      "device_uuid", "host",      "suite",       "method",  "outcome",
      "detail",      "stop_reason", "warmups",     "discarded", "started_utc", "name",    "config",
      "samples",     "median_ns",   "q1_ns",       "q3_ns",     "samples_ns",  "alone_ns"};
  return columns;
}

/// Columns that an import understands beside those: the members of a configuration, and one time.
const std::vector<std::string>& ConfigColumns() {
  static const std::vector<std::string> columns{
      "kind",        "kernel",   "dtype",     "heads",   "head_dim",       "block_q",
      "block_k",     "q_blocks", "k_blocks",  "pattern", "seed",           "active_blocks",
      "active_rows", "op",       "transport", "ranks",   "bytes_per_rank", "unevenness",
      "nodes",       "amount",   "time_ns",   "time_us", "time_ms"};
  return columns;
}

std::string Joined(const std::vector<std::int64_t>& values) {
  return fmt::format("{}", fmt::join(values, ";"));
}

Json RowOf(const StoredTrial& stored, const Provenance& machine) {
  const Trial& trial = stored.trial;
  Json row = {{"device_kind", machine.device_kind},
              {"device", machine.device_name},
              {"device_uuid", machine.device_uuid},
              {"host", machine.host},
              {"suite", trial.suite},
              {"method", trial.method},
              {"outcome", NameOf(trial.outcome)},
              {"detail", trial.detail},
              {"stop_reason", trial.stop_reason},
              {"warmups", trial.warmups},
              {"discarded", trial.discarded},
              {"started_utc", trial.started_utc},
              {"name", Describe(trial.config)},
              {"config", KeyOf(trial.config)},
              {"samples", static_cast<std::int64_t>(trial.samples_ns.size())},
              {"median_ns", nullptr},
              {"q1_ns", nullptr},
              {"q3_ns", nullptr},
              {"samples_ns", Joined(trial.samples_ns)},
              {"alone_ns", Joined(trial.alone_ns)}};
  if (!trial.samples_ns.empty()) {
    const Quartiles quartiles = QuartilesOf(trial.samples_ns);
    row["median_ns"] = quartiles.median;
    row["q1_ns"] = quartiles.first;
    row["q3_ns"] = quartiles.third;
  }
  return row;
}

/// One row to import: its texts by column.
class Row {
 public:
  Row(std::map<std::string, std::string> values, std::string where)
      : values_(std::move(values)), where_(std::move(where)) {}

  [[nodiscard]] bool Has(const std::string& column) const {
    const auto found = values_.find(column);
    return found != values_.end() && !found->second.empty();
  }
  [[nodiscard]] std::string Text(const std::string& column) const {
    return Has(column) ? values_.at(column) : "";
  }
  [[nodiscard]] std::string Where(const std::string& column) const {
    return where_ + ", " + column;
  }
  [[nodiscard]] std::int64_t Count(const std::string& column) const {
    if (!Has(column)) return 0;
    const double value = NumberOf(Text(column), Where(column));
    if (value < 0 || value > 1e15 ||
        value != static_cast<double>(static_cast<std::int64_t>(value))) {
      Fail(ErrorCode::kCorruptInput, "{}: {}, expected a count", Where(column), Text(column));
    }
    return static_cast<std::int64_t>(value);
  }
  [[nodiscard]] std::vector<std::int64_t> Times(const std::string& column) const {
    std::vector<std::int64_t> times;
    const std::string text = Text(column);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(';', begin), text.size());
      const std::string item = text.substr(begin, end - begin);
      times.push_back(TimeOf(NumberOf(item, Where(column)), 1, Where(column)));
      begin = end + 1;
    }
    return times;
  }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  std::map<std::string, std::string> values_;
  std::string where_;
};

/// The key of a configuration that is given by columns.
std::string KeyOfColumns(const Row& row) {
  Json key = {{"kind", row.Text("kind")}};
  const auto number = [&](const char* column, const char* member) {
    if (row.Has(column)) key[member] = row.Count(column);
  };
  for (const char* column : {"kernel", "dtype", "pattern", "op", "transport"}) {
    if (row.Has(column)) key[column] = row.Text(column);
  }
  for (const char* column : {"heads",
                             "head_dim",
                             "q_blocks",
                             "k_blocks",
                             "seed",
                             "active_rows",
                             "ranks",
                             "bytes_per_rank",
                             "nodes",
                             "amount"}) {
    number(column, column);
  }
  number("active_blocks", "kept_blocks");
  if (row.Has("block_q") || row.Has("block_k")) {
    key["block"] = {row.Count("block_q"), row.Count("block_k")};
  }
  const std::string& kind = key["kind"].get_ref<const std::string&>();
  if (kind == "exchange") {
    key["unevenness"] =
        row.Has("unevenness") ? NumberOf(row.Text("unevenness"), row.Where("unevenness")) : 1.0;
    if (!key.contains("transport")) key["transport"] = "nccl";
  }
  if (kind == "attention") {
    if (!key.contains("seed")) key["seed"] = 0;
    if (!key.contains("pattern")) key["pattern"] = "imported";
  }
  if (kind == "local") {
    if (!key.contains("head_dim")) key["head_dim"] = 0;
    if (!key.contains("block")) key["block"] = {0, 0};
    if (!key.contains("amount")) key["amount"] = 0;
  }
  return DumpJson(key);
}

TrialConfig ConfigOfRow(const Row& row) {
  const bool given = row.Has("config");
  if (!given && !row.Has("kind")) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected a kind (attention, exchange or local) with its columns, or a config",
         row.Where("kind"));
  }
  try {
    return ConfigOf(given ? row.Text("config") : KeyOfColumns(row));
  } catch (const Error& error) {
    Fail(ErrorCode::kCorruptInput, "{}: {}", row.Where(given ? "config" : "kind"), error.what());
  }
}

std::vector<std::int64_t> TimesOfRow(const Row& row) {
  if (row.Has("samples_ns")) return row.Times("samples_ns");
  const std::map<std::string, double> units{{"time_ns", 1}, {"time_us", 1e3}, {"time_ms", 1e6}};
  for (const auto& [column, unit] : units) {
    if (!row.Has(column)) continue;
    const double value = NumberOf(row.Text(column), row.Where(column));
    return {TimeOf(value, unit, row.Where(column))};
  }
  return {};
}

Trial TrialOfRow(const Row& row) {
  Trial trial;
  trial.config = ConfigOfRow(row);
  trial.samples_ns = TimesOfRow(row);
  trial.alone_ns = row.Times("alone_ns");
  trial.suite = row.Has("suite") ? row.Text("suite") : "import";
  trial.method = row.Has("method") ? row.Text("method") : "import.table";
  trial.stop_reason = row.Has("stop_reason") ? row.Text("stop_reason") : "imported";
  trial.detail = row.Text("detail");
  trial.warmups = row.Count("warmups");
  trial.discarded = row.Count("discarded");
  trial.started_utc = row.Text("started_utc");
  if (row.Has("outcome")) {
    try {
      trial.outcome = ParseTrialOutcome(row.Text("outcome"));
    } catch (const Error& error) {
      Fail(ErrorCode::kCorruptInput, "{}: {}", row.Where("outcome"), error.what());
    }
  }
  if (trial.outcome == TrialOutcome::kOk && trial.samples_ns.empty()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: no time, expected samples_ns (1200;1180), time_ns, time_us or time_ms",
         row.where());
  }
  return trial;
}

/// Collects rows by machine.
class RunsOfRows {
 public:
  explicit RunsOfRows(const ImportRequest& request) : request_(request) {}

  void Add(const Row& row) {
    Provenance machine;
    machine.device_kind = row.Has("device_kind") ? row.Text("device_kind") : "cuda";
    machine.device_name = row.Has("device") ? row.Text("device") : request_.device;
    machine.device_uuid = row.Text("device_uuid");
    machine.host = row.Text("host");
    const std::vector<std::string> identity{
        machine.device_kind, machine.device_name, machine.device_uuid, machine.host};
    const auto [at, fresh] = index_.try_emplace(identity, out_.runs.size());
    if (fresh) out_.runs.push_back({machine, {}});
    out_.runs[at->second].trials.push_back(TrialOfRow(row));
  }

  ImportedFile Result(ImportFormat format) {
    out_.format = format;
    return std::move(out_);
  }

 private:
  const ImportRequest& request_;
  std::map<std::vector<std::string>, std::size_t> index_;
  ImportedFile out_;
};

void RequireColumn(const std::string& column, const std::string& where) {
  std::vector<std::string> known = ExportColumns();
  known.insert(known.end(), ConfigColumns().begin(), ConfigColumns().end());
  if (std::ranges::find(known, column) != known.end()) return;
  throw Error(ErrorCode::kCorruptInput, where + ": " + UnknownName("column", column, known));
}

std::string TextOfValue(const JsonView& value) {
  const Json& raw = value.raw();
  if (raw.is_null()) return "";
  if (raw.is_string()) return value.String();
  if (!raw.is_array()) return DumpJson(raw);
  std::string text;
  for (const JsonView& item : value.Items()) {
    text += (text.empty() ? "" : ";") + DumpJson(item.raw());
  }
  return text;
}

}  // namespace

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string TrialTable(const Database& database, TableFormat format) {
  std::map<std::int64_t, Provenance> machines;
  for (StoredEnvironment& stored : database.Environments()) {
    machines[stored.id] = std::move(stored.provenance);
  }
  std::string text;
  if (format == TableFormat::kCsv) text = fmt::format("{}\n", fmt::join(ExportColumns(), ","));
  for (const StoredTrial& stored : database.Trials()) {
    const Json row = RowOf(stored, machines[stored.environment_id]);
    if (format == TableFormat::kJsonLines) {
      text += DumpJson(row) + "\n";
      continue;
    }
    std::string line;
    for (const std::string& column : ExportColumns()) {
      const Json& value = row[column];
      if (column != ExportColumns().front()) line += ",";
      if (value.is_string()) line += CsvField(value.get_ref<const std::string&>());
      if (value.is_number()) line += DumpJson(value);
    }
    text += line + "\n";
  }
  return text;
}

std::vector<CsvRecord> ParseCsv(std::string_view text, const std::string& origin) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<CsvRecord> records;
  std::int64_t line = 1;
  std::size_t at = 0;
  const auto fail = [&](std::int64_t where, const char* problem) {
    Fail(ErrorCode::kCorruptInput, "{}: line {}: {}", origin, where, problem);
  };
  while (at < text.size()) {
    CsvRecord record{line, {}};
    bool more = true;
    while (more) {
      std::string field;
      if (at < text.size() && text[at] == '"') {
        const std::int64_t begin = line;
        for (++at;; ++at) {
          if (at >= text.size()) fail(begin, "a quote that does not end");
          if (text[at] == '\n') ++line;
          if (text[at] != '"') {
            field += text[at];
          } else if (at + 1 < text.size() && text[at + 1] == '"') {
            field += text[++at];
          } else {
            break;
          }
        }
        ++at;
        if (at < text.size() && text[at] != ',' && text[at] != '\n' && text[at] != '\r') {
          fail(line, "text after a closing quote, expected a comma");
        }
      } else {
        while (at < text.size() && text[at] != ',' && text[at] != '\n' && text[at] != '\r') {
          field += text[at++];
        }
      }
      record.fields.push_back(std::move(field));
      more = at < text.size() && text[at] == ',';
      if (more) ++at;
    }
    if (at < text.size() && text[at] == '\r') ++at;
    if (at < text.size() && text[at] == '\n') {
      ++at;
      ++line;
    }
    const bool blank = record.fields.size() == 1 && record.fields[0].empty();
    if (!blank) records.push_back(std::move(record));
  }
  return records;
}

ImportedFile ReadCsv(std::string_view text, const ImportRequest& request) {
  const std::string origin = request.path.string();
  const std::vector<CsvRecord> records = ParseCsv(text, origin);
  if (records.empty()) Fail(ErrorCode::kCorruptInput, "{}: expected a line of columns", origin);
  const std::vector<std::string>& columns = records.front().fields;
  std::set<std::string> seen;
  for (const std::string& column : columns) {
    const std::string where = fmt::format("{}: line {}", origin, records.front().line);
    RequireColumn(column, where);
    if (!seen.insert(column).second) {
      Fail(ErrorCode::kCorruptInput, "{}: column {} is there twice", where, column);
    }
  }
  RunsOfRows runs(request);
  for (std::size_t i = 1; i < records.size(); ++i) {
    const CsvRecord& record = records[i];
    const std::string where = fmt::format("{}: line {}", origin, record.line);
    if (record.fields.size() != columns.size()) {
      Fail(ErrorCode::kCorruptInput,
           "{}: {} fields, expected {}",
           where,
           record.fields.size(),
           columns.size());
    }
    std::map<std::string, std::string> values;
    for (std::size_t c = 0; c < columns.size(); ++c) values[columns[c]] = record.fields[c];
    runs.Add(Row(std::move(values), where));
  }
  return runs.Result(ImportFormat::kCsv);
}

ImportedFile ReadJsonLines(std::string_view text, const ImportRequest& request) {
  const std::string origin = request.path.string();
  RunsOfRows runs(request);
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}: line {}", origin, number);
    const Json json = ParseJson(line, where);
    if (!json.is_object()) Fail(ErrorCode::kCorruptInput, "{}: expected an object", where);
    const JsonView view(json, where);
    std::map<std::string, std::string> values;
    for (const auto& [column, value] : json.items()) {
      RequireColumn(column, where);
      values[column] = TextOfValue(view[column]);
    }
    runs.Add(Row(std::move(values), where));
  }
  return runs.Result(ImportFormat::kJsonLines);
}

}  // namespace dbsp::db
