// SPDX-License-Identifier: Apache-2.0
// SQL that gives the numbers and tables of a report from its database.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

class QueryList {
 public:
  /// A number of the document.
  void Number(const char* name, const Json& plan, const Json& value, std::string sql) {
    if (!value.is_number()) return;
    Add(name, plan, value, std::move(sql));
  }
  void Rows(const char* name, const Json& plan, std::string sql) {
    Add(name, plan, nullptr, std::move(sql));
  }
  [[nodiscard]] Json Take() { return std::move(out_); }

 private:
  void Add(const char* name, const Json& plan, const Json& value, std::string sql) {
    out_.push_back({{"name", name}, {"plan", plan}, {"value", value}, {"sql", std::move(sql)}});
  }
  Json out_ = Json::array();
};

/// Sum over the cells of a stored plan of one member of their predictions, in ms, all passes.
std::string SumOverCells(const std::string& hash, int waves, std::string_view member) {
  return fmt::format(
      "WITH times AS MATERIALIZED (SELECT p.key, json_extract(p.value, '$.{}') AS ns FROM plans, "
      "json_each(plans.json, '$.predictions') p WHERE plans.hash = '{}') "
      "SELECT {} * sum(times.ns) / 1e6 FROM plans, json_each(plans.json, '$.cells') c "
      "JOIN times ON times.key = json_extract(c.value, '$[3]') WHERE plans.hash = '{}'",
      member,
      hash,
      waves,
      hash);
}

std::string CellsOf(const std::string& hash) {
  return fmt::format(
      "WITH times AS MATERIALIZED (SELECT p.key, json_extract(p.value, '$.total_ns') AS total_ns "
      "FROM plans, json_each(plans.json, '$.predictions') p WHERE plans.hash = '{}') "
      "SELECT json_extract(c.value, '$[0]') AS step, json_extract(c.value, '$[1]') AS layer, "
      "times.total_ns FROM plans, json_each(plans.json, '$.cells') c "
      "JOIN times ON times.key = json_extract(c.value, '$[3]') WHERE plans.hash = '{}'",
      hash,
      hash);
}

/// Numbers of a plan that the database stores.
void AddStoredPlan(const std::string& hash,
                   const Json& index,
                   const Plan& plan,
                   const Json& verdict,
                   QueryList& queries) {
  const int waves = plan.sequential_waves();
  queries.Number(
      "predicted_ms", index, verdict["predicted_ms"], SumOverCells(hash, waves, "total_ns"));
  queries.Number("low_ms", index, verdict["low_ms"], SumOverCells(hash, waves, "low_ns"));
  queries.Number("high_ms", index, verdict["high_ms"], SumOverCells(hash, waves, "high_ns"));
  queries.Number("lower_bound_ms",
                 index,
                 verdict["lower_bound_ms"],
                 SumOverCells(hash, waves, "lower_bound_ns"));
  queries.Rows("cells", index, CellsOf(hash));
}

/// Numbers and tables of the best replay of a plan.
void AddReplay(const Json& index, const Plan& plan, const Json& verdict, QueryList& queries) {
  const Json& replay = verdict["replay"];
  if (replay.is_null()) return;
  const auto id = replay["id"].get<std::int64_t>();
  const auto total = [&](const char* column) {
    return fmt::format("SELECT {} * {} / 1e6 FROM v_replays WHERE replay_id = {}",
                       plan.sequential_waves(),
                       column,
                       id);
  };
  queries.Number("replayed_ms", index, replay["replayed_ms"], total("replayed_ns"));
  queries.Number("replay_predicted_ms", index, replay["predicted_ms"], total("predicted_ns"));
  queries.Number("measured_relative_error",
                 index,
                 replay["measured_relative_error"],
                 fmt::format("SELECT 1.0 * (measured_replayed_ns - measured_predicted_ns) / "
                             "measured_predicted_ns FROM v_replays WHERE replay_id = {}",
                             id));
  queries.Rows("ledger", index, fmt::format("SELECT * FROM v_ledger WHERE replay_id = {}", id));
  queries.Rows("segments",
               index,
               fmt::format("SELECT c.step, c.layer, g.rank, g.kind, g.segment_index, g.start_ns, "
                           "g.replayed_ns, g.predicted_ns, g.bytes FROM ledger_segments g "
                           "JOIN replay_cells c ON c.id = g.cell_id WHERE c.replay_id = {} "
                           "ORDER BY c.position, g.position",
                           id));
}

/// Hashes are hexadecimal; anything else is not put into SQL.
bool IsHash(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void AddPlan(const ReportInputs& inputs, std::size_t i, const Json& verdict, QueryList& queries) {
  const PlanInput& input = inputs.plans[i];
  std::string list;
  for (const std::string& hash : input.hashes) {
    if (!IsHash(hash)) continue;
    list += fmt::format("{}'{}'", list.empty() ? "" : ", ", hash);
  }
  queries.Rows("replays", i, fmt::format("SELECT * FROM v_replays WHERE plan_hash IN ({})", list));
  AddReplay(i, input.plan, verdict, queries);
  const auto stored = std::ranges::find_first_of(inputs.stored_hashes, input.hashes);
  if (stored != inputs.stored_hashes.end() && IsHash(*stored)) {
    AddStoredPlan(*stored, i, input.plan, verdict, queries);
  }
}

}  // namespace

Json QueriesJson(const ReportInputs& inputs, const Json& plans) {
  QueryList queries;
  if (inputs.database_name.empty()) return queries.Take();
  queries.Number("trials_total", nullptr, inputs.trials.size(), "SELECT count(*) FROM trials");
  queries.Rows("trials",
               nullptr,
               "SELECT t.id, t.kind, t.suite, t.outcome, t.method, s.median_ns, s.q1_ns, s.q3_ns, "
               "s.samples, t.discarded, t.detail FROM trials t LEFT JOIN v_trial_times s "
               "ON s.trial_id = t.id ORDER BY t.id");
  queries.Rows(
      "outcomes", nullptr, "SELECT outcome, count(*) AS trials FROM trials GROUP BY outcome");
  queries.Rows("environments", nullptr, "SELECT * FROM v_provenance");
  for (std::size_t i = 0; i < inputs.plans.size(); ++i) {
    AddPlan(inputs, i, plans[i]["verdict"], queries);
  }
  return queries.Take();
}

}  // namespace dbsp::reports
