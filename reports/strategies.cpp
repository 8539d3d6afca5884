// SPDX-License-Identifier: Apache-2.0
// Strategies and cells of a plan, for the matrix and the tables of the page.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

struct Sums {
  std::int64_t cells = 0;
  double total = 0;
  double low = 0;
  double high = 0;
  double compute = 0;
  double exchange = 0;
  double bound = 0;
  double rho = 0;
  double rho_worst = 0;
  std::int64_t bytes = 0;
};

void Add(const Prediction& p, Sums& sums) {
  ++sums.cells;
  sums.total += static_cast<double>(p.total_ns);
  sums.low += static_cast<double>(p.low_ns);
  sums.high += static_cast<double>(p.high_ns);
  sums.compute += static_cast<double>(p.compute_ns);
  sums.exchange += static_cast<double>(p.exchange_ns);
  sums.bound += static_cast<double>(p.lower_bound_ns);
  sums.rho += p.rho_barrier;
  sums.rho_worst = std::max(sums.rho_worst, p.rho_barrier);
  sums.bytes = std::max(sums.bytes, p.bytes_per_rank);
}

/// Time of one pass of a baseline on the masks of a prediction, with the plan's costs; null where
/// it is not known.
Json BaselineNs(const Plan& plan, Family family, int prediction) {
  for (const Baseline& baseline : plan.baselines) {
    if (baseline.family == family && baseline.cfg_degree == 1 && !baseline.times.empty()) {
      return baseline.times[prediction].total_ns;
    }
  }
  return nullptr;
}

Json PredictionJson(const Plan& plan, int index) {
  const Prediction& p = plan.predictions[index];
  return {{"ulysses_ns", BaselineNs(plan, Family::kUlysses, index)},
          {"ring_ns", BaselineNs(plan, Family::kRing, index)},
          {"total_ns", p.total_ns},
          {"low_ns", p.low_ns},
          {"high_ns", p.high_ns},
          {"compute_ns", p.compute_ns},
          {"exchange_ns", p.exchange_ns},
          {"lower_bound_ns", p.lower_bound_ns},
          {"rho_barrier", p.rho_barrier},
          {"rho_timeline", p.rho_timeline},
          {"bytes_per_rank", p.bytes_per_rank},
          {"moved_fraction", p.moved_fraction}};
}

/// Replayed time of every (step, layer), from the first replay that contains it.
std::map<std::pair<int, int>, std::int64_t> ReplayedTimes(
    const std::vector<const db::StoredReplay*>& replays) {
  std::map<std::pair<int, int>, std::int64_t> times;
  for (const db::StoredReplay* stored : replays) {
    for (const ReplayCell& cell : stored->replay.cells) {
      times.emplace(std::pair(cell.step, cell.layer), cell.replayed_ns);
    }
  }
  return times;
}

}  // namespace

Json StrategiesJson(const Plan& plan, const StrategyTable& table) {
  std::vector<Sums> sums(table.distinct.size());
  for (const PlanCell& cell : plan.cells) {
    Add(plan.predictions[cell.prediction], sums[table.of[cell.strategy]]);
  }
  const std::vector<std::string> names = NamesOf(table, plan);
  Json out = Json::array();
  const double all_passes = static_cast<double>(plan.sequential_waves()) / kNsPerMs;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const Strategy& s = table.distinct[i];
    const Sums& sum = sums[i];
    const bool used = sum.cells > 0;
    const auto layout = static_cast<std::size_t>(s.layout);
    out.push_back(
        {{"label", names[i]},
         {"family", NameOf(s.family)},
         {"cfg_degree", s.cfg_degree},
         {"ulysses_degree", s.ulysses_degree},
         {"ring_degree", s.ring_degree},
         {"exchange", NameOf(s.exchange)},
         {"chunks", s.chunks},
         {"layout", layout < plan.layouts.size() ? plan.layouts[layout].name : "given"},
         {"kernel", s.kernel},
         {"cells", sum.cells},
         {"total_ms", sum.total * all_passes},
         {"total_ms_low", sum.low * all_passes},
         {"total_ms_high", sum.high * all_passes},
         {"compute_ms", sum.compute * all_passes},
         {"exchange_ms", sum.exchange * all_passes},
         {"lower_bound_ms", sum.bound * all_passes},
         {"bytes_per_rank", sum.bytes},
         {"rho_barrier", used ? Json(sum.rho / static_cast<double>(sum.cells)) : Json(nullptr)},
         {"rho_barrier_worst", used ? Json(sum.rho_worst) : Json(nullptr)},
         {"rho_timeline", sum.bound > 0 ? Json(sum.total / sum.bound) : Json(nullptr)}});
  }
  return out;
}

void AddCells(const PlanInput& input,
              const std::vector<const db::StoredReplay*>& replays,
              const StrategyTable& table,
              const ReportLimits& limits,
              Json& out) {
  const Plan& plan = input.plan;
  const auto times = ReplayedTimes(replays);
  std::map<int, std::size_t> index_of;  // in `predictions`, by index in the plan
  Json predictions = Json::array();
  Json cells = {{"step", Json::array()},
                {"layer", Json::array()},
                {"strategy", Json::array()},
                {"prediction", Json::array()},
                {"replayed_ns", Json::array()},
                {"rho_limit", Json::array()}};
  const std::size_t count = std::min(limits.cells, plan.cells.size());
  for (std::size_t i = 0; i < count; ++i) {
    const PlanCell& cell = plan.cells[i];
    const auto [index, fresh] = index_of.emplace(cell.prediction, index_of.size());
    if (fresh) predictions.push_back(PredictionJson(plan, cell.prediction));
    const auto time = times.find({cell.step, cell.layer});
    cells["step"].push_back(cell.step);
    cells["layer"].push_back(cell.layer);
    cells["strategy"].push_back(table.of[cell.strategy]);
    cells["prediction"].push_back(index->second);
    cells["rho_limit"].push_back(cell.contract ? Json(plan.contracts[*cell.contract].rho_limit)
                                               : Json(nullptr));
    cells["replayed_ns"].push_back(time == times.end() ? Json(nullptr) : Json(time->second));
  }
  out["predictions"] = std::move(predictions);
  out["cells"] = std::move(cells);
  out["cells_total"] = plan.cells.size();
}

}  // namespace dbsp::reports
