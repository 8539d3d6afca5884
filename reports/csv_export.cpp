// SPDX-License-Identifier: Apache-2.0
// Tables of the data document, and their CSV text.
#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <utility>

#include "core/terminal_text.h"
#include "reports/exports.h"

namespace dbsp::reports {
namespace {

/// Member by a path "verdict.headline.ms"; null where there is none.
Json At(const Json& object, const std::string& path) {
  const Json* value = &object;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const auto found =
        value->is_object() ? value->find(path.substr(begin, end - begin)) : value->end();
    if (!value->is_object() || found == value->end()) return nullptr;
    value = &*found;
    begin = end + 1;
  }
  return *value;
}

/// Adds a row: the given values, then the members of `object` that the other columns name.
void AddRow(Table& table, std::initializer_list<Json> first, const Json& object) {
  std::vector<Json> row(first);
  while (row.size() < table.columns.size()) row.push_back(At(object, table.columns[row.size()]));
  table.rows.push_back(std::move(row));
}

/// Calls `add` for every plan of the document.
void ForPlans(const Json& document, const std::function<void(const Json& plan)>& add) {
  for (const Json& plan : document["plans"]) add(plan);
}

void Plans(const Json& document, Table& table) {
  constexpr std::array<std::pair<const char*, const char*>, 22> kMembers{
      {{"plan", "name"},
       {"hash", "hash"},
       {"workload", "workload.name"},
       {"device", "device"},
       {"cluster", "cluster"},
       {"costs", "costs"},
       {"ranks", "ranks"},
       {"passes", "passes"},
       {"cfg_degree", "cfg_degree"},
       {"cells", "verdict.cells"},
       {"headline_source", "verdict.headline.source"},
       {"headline_ms", "verdict.headline.ms"},
       {"predicted_ms", "verdict.predicted_ms"},
       {"low_ms", "verdict.low_ms"},
       {"high_ms", "verdict.high_ms"},
       {"lower_bound_ms", "verdict.lower_bound_ms"},
       {"rho_barrier_mean", "verdict.rho_barrier_mean"},
       {"model_error", "verdict.model_error"},
       {"replay", "verdict.replay.id"},
       {"replay_grade", "verdict.replay.grade"},
       {"replayed_ms", "verdict.replay.replayed_ms"},
       {"verification", "verdict.verification.state"}}};
  for (const auto& [column, path] : kMembers) table.columns.emplace_back(column);
  ForPlans(document, [&](const Json& plan) {
    std::vector<Json> row;
    for (const auto& [column, path] : kMembers) row.push_back(At(plan, path));
    table.rows.push_back(std::move(row));
  });
}

void Gains(const Json& document, Table& table) {
  table.columns = {"plan",
                   "family",
                   "kind",
                   "source",
                   "baseline_ms",
                   "plan_ms",
                   "gain",
                   "gain_low",
                   "gain_high",
                   "flip_chance",
                   "verdict",
                   "cells",
                   "cells_total"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& gain : plan["verdict"]["baselines"]) AddRow(table, {plan["name"]}, gain);
  });
}

void Strategies(const Json& document, Table& table) {
  table.columns = {"plan",           "strategy",       "family",      "cfg_degree",
                   "ulysses_degree", "ring_degree",    "exchange",    "chunks",
                   "layout",         "kernel",         "cells",       "total_ms",
                   "total_ms_low",   "total_ms_high",  "compute_ms",  "exchange_ms",
                   "lower_bound_ms", "bytes_per_rank", "rho_barrier", "rho_barrier_worst",
                   "rho_timeline"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& row : plan["strategies"]) AddRow(table, {plan["name"], row["label"]}, row);
  });
}

void Cells(const Json& document, Table& table) {
  table.columns = {"plan",
                   "step",
                   "layer",
                   "strategy",
                   "replayed_ns",
                   "total_ns",
                   "low_ns",
                   "high_ns",
                   "compute_ns",
                   "exchange_ns",
                   "lower_bound_ns",
                   "bytes_per_rank",
                   "rho_barrier",
                   "rho_timeline",
                   "moved_fraction"};
  ForPlans(document, [&](const Json& plan) {
    const Json& cells = plan["cells"];
    for (std::size_t i = 0; i < cells["step"].size(); ++i) {
      const Json& strategy = plan["strategies"][cells["strategy"][i].get<std::size_t>()];
      AddRow(table,
             {plan["name"],
              cells["step"][i],
              cells["layer"][i],
              strategy["label"],
              cells["replayed_ns"][i]},
             plan["predictions"][cells["prediction"][i].get<std::size_t>()]);
    }
  });
}

void Loads(const Json& document, Table& table) {
  table.columns = {"plan", "step", "layer", "placement", "rank", "active_blocks"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& cell : plan["shown"]) {
      if (!cell["load"].contains("charts")) continue;
      for (const Json& chart : cell["load"]["charts"]) {
        for (std::size_t rank = 0; rank < chart["blocks"].size(); ++rank) {
          table.rows.push_back({plan["name"],
                                cell["step"],
                                cell["layer"],
                                chart["name"],
                                rank,
                                chart["blocks"][rank]});
        }
      }
    }
  });
}

void AddSegments(const Json& document,
                 const Json& plan,
                 const Json& cell,
                 const std::string& source,
                 const Json& segments,
                 Table& table) {
  for (std::size_t i = 0; i < segments["rank"].size(); ++i) {
    table.rows.push_back({plan["name"],
                          cell["step"],
                          cell["layer"],
                          source,
                          segments["rank"][i],
                          document["segment_kinds"][segments["kind"][i].get<std::size_t>()],
                          segments["index"][i],
                          segments["start_ns"][i],
                          segments["duration_ns"][i],
                          segments["bytes"][i]});
  }
}

void Segments(const Json& document, Table& table) {
  table.columns = {"plan",
                   "step",
                   "layer",
                   "source",
                   "rank",
                   "kind",
                   "index",
                   "start_ns",
                   "duration_ns",
                   "bytes"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& cell : plan["shown"]) {
      if (cell["predicted"].is_object()) {
        AddSegments(document, plan, cell, "predicted", cell["predicted"], table);
      }
      for (const Json& replayed : cell["replayed"]) {
        AddSegments(document,
                    plan,
                    cell,
                    "replay " + replayed["replay_id"].dump(),
                    replayed["segments"],
                    table);
      }
    }
  });
}

void Replays(const Json& document, Table& table) {
  table.columns = {"plan",
                   "id",
                   "grade",
                   "device",
                   "transport",
                   "exchange_source",
                   "environment",
                   "ranks",
                   "cores",
                   "verified",
                   "passed",
                   "started_utc",
                   "cells",
                   "cells_meant",
                   "predicted_ns",
                   "replayed_ns",
                   "relative_error",
                   "measured_predicted_ns",
                   "measured_replayed_ns",
                   "measured_relative_error"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& replay : plan["replays"]) AddRow(table, {plan["name"]}, replay);
  });
}

void LedgerRows(const Json& document, Table& table) {
  table.columns = {"plan",
                   "replay",
                   "kind",
                   "measured",
                   "predicted_ns",
                   "replayed_ns",
                   "difference_ns",
                   "relative_error",
                   "segments",
                   "unmatched"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& replay : plan["replays"]) {
      for (const Json& row : replay["ledger"]) AddRow(table, {plan["name"], replay["id"]}, row);
    }
  });
}

void Fits(const Json& document, Table& table) {
  table.columns = {"plan", "operation", "name", "points", "held_out_error", "median_error"};
  ForPlans(document, [&](const Json& plan) {
    for (const Json& fit : plan["tuning"]["fits"]) AddRow(table, {plan["name"]}, fit);
  });
}

void CloseCalls(const Json& document, Table& table) {
  table.columns = {"plan", "step", "layer", "rival", "rival_ns"};
  ForPlans(document, [&](const Json& plan) {
    const Json calls = At(plan, "tuning.close_calls");
    if (!calls.is_object()) return;
    for (std::size_t i = 0; i < calls["step"].size(); ++i) {
      table.rows.push_back({plan["name"],
                            calls["step"][i],
                            calls["layer"][i],
                            calls["rival"][i],
                            calls["rival_ns"][i]});
    }
  });
}

void Candidates(const Json& document, Table& table) {
  table.columns = {"comparison",       "strategy",          "family",         "cfg_degree",
                   "ulysses_degree",   "ring_degree",       "exchange",       "chunks",
                   "layout",           "kernels",           "chosen",         "total_ms",
                   "total_ms_low",     "total_ms_high",     "compute_ms",     "exchange_ms",
                   "lower_bound_ms",   "bytes_per_rank",    "moved_fraction", "rho_barrier",
                   "rho_barrier_mean", "rho_barrier_worst", "rho_timeline",   "verdict"};
  for (const Json& comparison : document["compare"]) {
    for (const Json& row : comparison["candidates"]) AddRow(table, {comparison["name"]}, row);
  }
}

void Comparisons(const Json& document, Table& table) {
  table.columns = {"base",
                   "other",
                   "step",
                   "layer",
                   "base_ms",
                   "other_ms",
                   "gain",
                   "gain_low",
                   "gain_high",
                   "flip_chance",
                   "verdict"};
  for (const Json& comparison : document["comparisons"]) {
    const Json& rows = comparison["rows"];
    for (std::size_t i = 0; i < rows["step"].size(); ++i) {
      std::vector<Json> row{comparison["base"], comparison["other"]};
      while (row.size() < table.columns.size()) row.push_back(rows[table.columns[row.size()]][i]);
      table.rows.push_back(std::move(row));
    }
  }
}

void Queries(const Json& document, Table& table) {
  table.columns = {"name", "plan", "value", "sql"};
  for (const Json& query : document["queries"]) AddRow(table, {}, query);
}

void Trials(const Json& document, Table& table) {
  table.columns = {
      "id",         "kind",        "suite",       "outcome",         "method",   "environment",
      "median_ns",  "q25_ns",      "q75_ns",      "spread",          "samples",  "discarded",
      "warmups",    "stop_reason", "started_utc", "kernel",          "dtype",    "heads",
      "head_dim",   "block",       "q_blocks",    "k_blocks",        "pattern",  "kept_blocks",
      "density",    "op",          "amount",      "transport",       "ranks",    "bytes_per_rank",
      "unevenness", "timed",       "sm_margin",   "alone_median_ns", "slowdown", "detail"};
  for (const Json& trial : document["trials"]) AddRow(table, {}, trial);
}

void Environments(const Json& document, Table& table) {
  table.columns = {"id",
                   "device_kind",
                   "device_name",
                   "device_uuid",
                   "host",
                   "cores",
                   "memory_bytes",
                   "compiler",
                   "build_type",
                   "git_commit",
                   "git_dirty",
                   "version",
                   "started_utc",
                   "argv",
                   "extra"};
  const Json list = At(document, "database.environments");
  for (const Json& environment : list) AddRow(table, {}, environment);
}

void Notices(const Json& document, Table& table) {
  table.columns = {"plan", "level", "text"};
  for (const Json& notice : document["notices"]) AddRow(table, {nullptr}, notice);
  ForPlans(document, [&](const Json& plan) {
    for (const Json& notice : plan["notices"]) AddRow(table, {plan["name"]}, notice);
  });
}

struct Maker {
  const char* name;
  void (*fill)(const Json& document, Table& table);
};

constexpr std::array<Maker, 16> kMakers{{{"plans", Plans},
                                         {"gains", Gains},
                                         {"strategies", Strategies},
                                         {"cells", Cells},
                                         {"loads", Loads},
                                         {"segments", Segments},
                                         {"replays", Replays},
                                         {"ledger", LedgerRows},
                                         {"fits", Fits},
                                         {"close_calls", CloseCalls},
                                         {"candidates", Candidates},
                                         {"comparisons", Comparisons},
                                         {"queries", Queries},
                                         {"trials", Trials},
                                         {"environments", Environments},
                                         {"notices", Notices}}};

/// One value. Lists and objects stay JSON.
std::string CsvField(const Json& value) {
  if (value.is_null()) return "";
  std::string text = TerminalLine(value.is_string() ? value.get<std::string>() : DumpJson(value));
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::vector<std::string> TableNames() {
  std::vector<std::string> names;
  for (const Maker& maker : kMakers) names.emplace_back(maker.name);
  return names;
}

std::vector<Table> TablesOf(const Json& document) {
  std::vector<Table> tables;
  for (const Maker& maker : kMakers) {
    Table table;
    table.name = maker.name;
    maker.fill(document, table);
    tables.push_back(std::move(table));
  }
  return tables;
}

std::string CsvText(const Table& table) {
  std::string text;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    text += (i > 0 ? "," : "") + table.columns[i];
  }
  text += "\r\n";
  for (const std::vector<Json>& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += ',';
      text += CsvField(row[i]);
    }
    text += "\r\n";
  }
  return text;
}

}  // namespace dbsp::reports
