// SPDX-License-Identifier: Apache-2.0
// The first plan against every other one: each cell and the total is FASTER, SLOWER, SAME or
// AMBIGUOUS, by the rule of gains (core/baseline.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/baseline.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

using CellKey = std::pair<int, int>;

/// "FASTER": as the rule and the page write it.
std::string Upper(GainVerdict verdict) {
  std::string word = NameOf(verdict);
  for (char& c : word) c = static_cast<char>(c - 'a' + 'A');
  return word;
}

/// Why predicted times of the two cannot be compared; "" where they can.
std::string ProblemOf(const Plan& base, const Plan& other) {
  if (base.workload_hash != other.workload_hash) {
    return fmt::format(
        "they are of other workloads, {} and {}", base.workload_name, other.workload_name);
  }
  if (!(CostsOf(base) == CostsOf(other))) {
    return fmt::format("they are priced with other costs, {} and {}",
                       NameOf(CostsOf(base)),
                       NameOf(CostsOf(other)));
  }
  return "";
}

std::map<CellKey, const Prediction*> PredictionsOf(const Plan& plan) {
  std::map<CellKey, const Prediction*> found;
  for (const PlanCell& cell : plan.cells) {
    found[{cell.step, cell.layer}] = &plan.predictions[cell.prediction];
  }
  return found;
}

struct Row {
  CellKey cell;
  Gain gain;
};

struct Rows {
  std::vector<Row> cells;  ///< of both plans, those that differ most first
  std::optional<Gain> total;  ///< over these cells; empty without one
  std::int64_t only_base = 0;
  std::int64_t only_other = 0;
};

Rows RowsOf(const Plan& base, const Plan& other) {
  const auto mine = PredictionsOf(base);
  const auto theirs = PredictionsOf(other);
  const double error = std::max(ModelErrorOf(base).value_or(0), ModelErrorOf(other).value_or(0));
  Rows rows;
  GainSum total;
  for (const auto& [cell, prediction] : theirs) {
    const auto found = mine.find(cell);
    if (found == mine.end()) continue;
    const BaselineTime base_time = TimeOf(*found->second);
    const BaselineTime other_time = TimeOf(*prediction);
    GainSum sum;
    sum.Add(other_time, other.sequential_waves(), base_time, base.sequential_waves());
    total.Add(other_time, other.sequential_waves(), base_time, base.sequential_waves());
    rows.cells.push_back({cell, sum.Result(error)});
  }
  const auto both = static_cast<std::int64_t>(rows.cells.size());
  rows.only_base = static_cast<std::int64_t>(mine.size()) - both;
  rows.only_other = static_cast<std::int64_t>(theirs.size()) - both;
  if (both > 0) rows.total = total.Result(error);
  std::ranges::stable_sort(rows.cells, std::greater(), [](const Row& row) {
    return std::abs(row.gain.baseline_ns - row.gain.plan_ns);
  });
  return rows;
}

Json GainRow(const Gain& gain) {
  return {{"base_ms", gain.baseline_ns / kNsPerMs},
          {"other_ms", gain.plan_ns / kNsPerMs},
          {"gain", gain.gain},
          {"gain_low", OrNull(gain.low)},
          {"gain_high", OrNull(gain.high)},
          {"flip_chance", OrNull(gain.flip_chance)},
          {"verdict", Upper(gain.verdict)}};
}

/// Columns of the rows that fit.
Json ColumnsOf(const std::vector<Row>& rows, std::size_t limit) {
  Json out = {{"step", Json::array()}, {"layer", Json::array()}};
  for (const char* key :
       {"base_ms", "other_ms", "gain", "gain_low", "gain_high", "flip_chance", "verdict"}) {
    out[key] = Json::array();
  }
  for (std::size_t i = 0; i < std::min(limit, rows.size()); ++i) {
    out["step"].push_back(rows[i].cell.first);
    out["layer"].push_back(rows[i].cell.second);
    const Json row = GainRow(rows[i].gain);
    for (const auto& [key, value] : row.items()) out[key].push_back(value);
  }
  return out;
}

Json CountsOf(const std::vector<Row>& rows) {
  Json counts = Json::object();
  for (const GainVerdict verdict :
       {GainVerdict::kFaster, GainVerdict::kSlower, GainVerdict::kSame, GainVerdict::kAmbiguous}) {
    counts[Upper(verdict)] =
        std::ranges::count(rows, verdict, [](const Row& row) { return row.gain.verdict; });
  }
  return counts;
}

Json ComparisonJson(const ReportInputs& inputs, std::size_t other, const ReportLimits& limits) {
  const PlanInput& base = inputs.plans[0];
  const std::string problem = ProblemOf(base.plan, inputs.plans[other].plan);
  const Rows rows = problem.empty() ? RowsOf(base.plan, inputs.plans[other].plan) : Rows{};
  return {{"kind", "plans"},
          {"base", base.name},
          {"base_plan", 0},
          {"other", inputs.plans[other].name},
          {"other_plan", other},
          {"problem", problem.empty() ? Json(nullptr) : Json(problem)},
          {"rule", kVerdictRule},
          {"total", rows.total ? GainRow(*rows.total) : Json(nullptr)},
          {"counts", CountsOf(rows.cells)},
          {"only_base", rows.only_base},
          {"only_other", rows.only_other},
          {"rows", ColumnsOf(rows.cells, limits.cells)},
          {"rows_total", rows.cells.size()}};
}

}  // namespace

Json ComparisonsJson(const ReportInputs& inputs, const ReportLimits& limits) {
  Json out = Json::array();
  for (std::size_t i = 1; i < inputs.plans.size(); ++i) {
    // Plans that nobody asked for are compared only where that is possible.
    const bool asked = !inputs.plans[i].stored;
    if (asked || ProblemOf(inputs.plans[0].plan, inputs.plans[i].plan).empty()) {
      out.push_back(ComparisonJson(inputs, i, limits));
    }
  }
  return out;
}

}  // namespace dbsp::reports
