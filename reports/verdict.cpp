// SPDX-License-Identifier: Apache-2.0
// The verdict of one plan: predicted and replayed time, gains over plain families, verification.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "core/ledger.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

using CellKey = std::pair<int, int>;

struct Times {
  double total = 0;
  double low = 0;
  double high = 0;
};

struct CellTimes {
  Times predicted;
  std::optional<double> replayed;
};

double Ratio(double above, double below) {
  // NaN becomes null in the document.
  return below > 0 ? above / below : std::numeric_limits<double>::quiet_NaN();
}

Json BaselineJson(Family family,
                  const char* kind,
                  const std::string& source,
                  const Times& base,
                  const Times& plan) {
  const bool interval = base.high > 0 && plan.high > 0;
  return {{"family", NameOf(family)},
          {"kind", kind},
          {"source", source},
          {"baseline_ms", base.total},
          {"plan_ms", plan.total},
          {"gain", Ratio(base.total, plan.total)},
          {"gain_low", interval ? Json(Ratio(base.low, plan.high)) : Json(nullptr)},
          {"gain_high", interval ? Json(Ratio(base.high, plan.low)) : Json(nullptr)}};
}

Times PlanTimes(const Plan& plan) {
  Times times;
  for (const PlanCell& cell : plan.cells) {
    const Prediction& p = plan.predictions[cell.prediction];
    times.total += static_cast<double>(p.total_ns);
    times.low += static_cast<double>(p.low_ns);
    times.high += static_cast<double>(p.high_ns);
  }
  // The bounds are scaled like total_ms(), which counts the passes.
  const double scale = times.total > 0 ? plan.total_ms() / times.total : 0.0;
  return {plan.total_ms(), times.low * scale, times.high * scale};
}

std::optional<double> NumberOf(const Json& row, const char* key) {
  if (row[key].is_null()) return std::nullopt;
  return row[key].get<double>();
}

/// Fastest candidate of the family among those of its smallest cfg degree, because a plain runtime
/// runs one guidance pass after the other.
std::optional<Times> BestCandidate(const CompareDocument& document, Family family) {
  std::optional<Times> best;
  double best_degree = 0;
  for (const Json& row : document.candidates) {
    const auto total = NumberOf(row, "total_ms");
    if (row["family"] != NameOf(family) || !total) continue;
    const double degree = NumberOf(row, "cfg_degree").value_or(1);
    if (best && (degree > best_degree || (degree == best_degree && best->total <= *total))) {
      continue;
    }
    best_degree = degree;
    const auto low = NumberOf(row, "total_ms_low");
    const auto high = NumberOf(row, "total_ms_high");
    best = Times{*total, low.value_or(0), low ? high.value_or(0) : 0};
  }
  return best;
}

bool IsPlain(const Plan& plan, Family family) {
  return !plan.cells.empty() &&
         std::all_of(plan.cells.begin(), plan.cells.end(), [&](const PlanCell& cell) {
           return plan.strategies[cell.strategy].family == family;
         });
}

/// Predicted times of every cell for all passes, and the replayed times of the first replay with
/// this transport. A replayed cell that stands for others gives them its time: they have the same
/// masks and the same strategy.
std::map<CellKey, CellTimes> TimesOf(const ReportInputs& inputs,
                                     const PlanInput& input,
                                     const std::string& transport) {
  std::map<CellKey, CellTimes> times;
  const double waves = input.plan.sequential_waves();
  for (const PlanCell& cell : input.plan.cells) {
    const Prediction& p = input.plan.predictions[cell.prediction];
    times[{cell.step, cell.layer}].predicted = {static_cast<double>(p.total_ns) * waves,
                                                static_cast<double>(p.low_ns) * waves,
                                                static_cast<double>(p.high_ns) * waves};
  }
  for (const db::StoredReplay* stored : ReplaysOf(inputs, input)) {
    if (stored->replay.transport != transport) continue;
    std::map<CellKey, const ReplayCell*> replayed;
    for (const ReplayCell& cell : stored->replay.cells) replayed[{cell.step, cell.layer}] = &cell;
    std::map<int, double> shared;  // by prediction
    for (const PlanCell& cell : input.plan.cells) {
      const auto found = replayed.find({cell.step, cell.layer});
      if (found == replayed.end()) continue;
      const double ns = static_cast<double>(found->second->replayed_ns) * waves;
      times[{cell.step, cell.layer}].replayed = ns;
      if (found->second->multiplicity.value_or(1) > 1) shared.try_emplace(cell.prediction, ns);
    }
    for (const PlanCell& cell : input.plan.cells) {
      const auto found = shared.find(cell.prediction);
      std::optional<double>& ns = times[{cell.step, cell.layer}].replayed;
      if (found != shared.end() && !ns) ns = found->second;
    }
    break;
  }
  return times;
}

Times Scaled(const Times& times, double factor) {
  return {times.total * factor, times.low * factor, times.high * factor};
}

/// Adds the gains over another plan on the cells that both contain: one predicted, one replayed.
void AddPlanBaselines(const ReportInputs& inputs,
                      const PlanInput& mine,
                      const PlanInput& other,
                      Family family,
                      Json& out) {
  const auto replays = ReplaysOf(inputs, mine);
  const std::string transport = replays.empty() ? "" : replays.front()->replay.transport;
  const auto theirs = TimesOf(inputs, other, transport);
  Times plan, base, plan_replayed, base_replayed;
  for (const auto& [key, cell] : TimesOf(inputs, mine, transport)) {
    const auto found = theirs.find(key);
    if (found == theirs.end()) continue;
    const CellTimes& other_cell = found->second;
    plan = {plan.total + cell.predicted.total,
            plan.low + cell.predicted.low,
            plan.high + cell.predicted.high};
    base = {base.total + other_cell.predicted.total,
            base.low + other_cell.predicted.low,
            base.high + other_cell.predicted.high};
    if (!cell.replayed || !other_cell.replayed) continue;
    plan_replayed.total += *cell.replayed;
    base_replayed.total += *other_cell.replayed;
  }
  if (base.total > 0)
    out.push_back(BaselineJson(
        family, "predicted", other.name, Scaled(base, 1 / kNsPerMs), Scaled(plan, 1 / kNsPerMs)));
  if (base_replayed.total > 0) {
    out.push_back(BaselineJson(family,
                               "replayed",
                               other.name,
                               Scaled(base_replayed, 1 / kNsPerMs),
                               Scaled(plan_replayed, 1 / kNsPerMs)));
  }
}

/// First plan of the same workload and ranks whose cells all have this family, among those of the
/// smallest cfg degree.
const PlanInput* FindPlainPlan(const ReportInputs& inputs, const PlanInput& mine, Family family) {
  const PlanInput* plain = nullptr;
  for (const auto* list : {&inputs.plans, &inputs.other_plans}) {
    for (const PlanInput& other : *list) {
      const bool same = other.plan.workload_hash == mine.plan.workload_hash &&
                        other.plan.ranks == mine.plan.ranks;
      if (&other == &mine || !same || !IsPlain(other.plan, family)) continue;
      if (plain == nullptr || other.plan.cfg_degree() < plain->plan.cfg_degree()) plain = &other;
    }
  }
  return plain;
}

Json Baselines(const ReportInputs& inputs,
               std::size_t index,
               const std::vector<CompareDocument>& compares) {
  const PlanInput& mine = inputs.plans[index];
  Json out = Json::array();
  for (const Family family : {Family::kUlysses, Family::kRing}) {
    for (const CompareDocument& document : compares) {
      if (std::find(document.plans.begin(), document.plans.end(), index) == document.plans.end())
        continue;
      const auto best = BestCandidate(document, family);
      if (best)
        out.push_back(
            BaselineJson(family, "predicted", document.name, *best, PlanTimes(mine.plan)));
    }
    const PlanInput* plain = FindPlainPlan(inputs, mine, family);
    if (plain != nullptr) AddPlanBaselines(inputs, mine, *plain, family, out);
  }
  return out;
}

Json VerificationJson(const std::vector<const db::StoredReplay*>& replays) {
  Json out = {{"state", replays.empty() ? "none" : "unverified"},
              {"max_relative_error", nullptr},
              {"max_abs_error", nullptr},
              {"max_lse_error", nullptr},
              {"cells", 0}};
  const auto verified = std::find_if(
      replays.begin(), replays.end(), [](const auto* r) { return r->replay.verified; });
  if (verified == replays.end()) return out;
  const ReplayRecord& replay = (*verified)->replay;
  std::optional<double> relative;
  std::optional<double> largest;
  std::optional<double> lse;
  std::int64_t cells = 0;
  for (const ReplayCell& cell : replay.cells) {
    if (cell.lse_error) lse = std::max(lse.value_or(0), *cell.lse_error);
    if (cell.relative_error) relative = std::max(relative.value_or(0), *cell.relative_error);
    if (cell.max_abs_error) largest = std::max(largest.value_or(0), *cell.max_abs_error);
    cells += cell.relative_error ? 1 : 0;
  }
  return {{"state", replay.passed ? "passed" : "failed"},
          {"max_relative_error", OrNull(relative)},
          {"max_abs_error", OrNull(largest)},
          {"max_lse_error", OrNull(lse)},
          {"cells", cells}};
}

/// Totals of all passes, as dbsp-replay prints them.
Json NewestReplay(const Plan& plan, const std::vector<const db::StoredReplay*>& replays) {
  if (replays.empty()) return nullptr;
  const ReplayRecord& replay = replays.front()->replay;
  const ReplayTotals totals = TotalsOf(replay);
  return {{"id", replays.front()->id},
          {"transport", replay.transport},
          {"exchange_source", replay.exchange_source},
          {"cells", replay.cells.size()},
          {"cells_meant", OrNull(totals.cells_meant)},
          {"predicted_ms", ToMs(totals.predicted_ns * plan.sequential_waves())},
          {"replayed_ms", ToMs(totals.replayed_ns * plan.sequential_waves())},
          {"relative_error", OrNull(RelativeError(totals.predicted_ns, totals.replayed_ns))}};
}

void AddReplayNotices(const ReportInputs& inputs,
                      const std::vector<const db::StoredReplay*>& replays,
                      Json& out) {
  if (replays.empty()) {
    out.push_back(Notice("note", "This plan was not replayed. Its times are predictions."));
    return;
  }
  const db::StoredReplay& newest = *replays.front();
  if (!newest.replay.passed)
    out.push_back(
        Notice("error",
               fmt::format("Replay {} failed its verification. Do not use the output of this plan.",
                           newest.id)));
  if (!newest.replay.verified)
    out.push_back(Notice(
        "warning", fmt::format("Replay {} was not verified against the reference.", newest.id)));
  if (const auto cores = OversubscribedCores(inputs, newest)) {
    out.push_back(
        Notice("warning",
               fmt::format("Oversubscribed: replay {} ran {} ranks on {} cores. Ranks waited for "
                           "each other, so its times are not those of {} devices.",
                           newest.id,
                           newest.replay.ranks,
                           *cores,
                           newest.replay.ranks)));
  }
  if (newest.replay.transport == "serial") {
    out.push_back(
        Notice("note",
               fmt::format("Replay {} ran the ranks one after the other on one device. Its "
                           "timeline is composed of their times; exchanges: {}.",
                           newest.id,
                           newest.replay.exchange_source)));
  }
}

}  // namespace

Json VerdictJson(const ReportInputs& inputs,
                 std::size_t plan_index,
                 const std::vector<CompareDocument>& compares) {
  const PlanInput& input = inputs.plans[plan_index];
  const Plan& plan = input.plan;
  const Times times = PlanTimes(plan);
  double bound = 0;
  double rho = 0;
  for (const PlanCell& cell : plan.cells) {
    const Prediction& p = plan.predictions[cell.prediction];
    bound += static_cast<double>(p.lower_bound_ns);
    rho += p.rho_barrier;
  }
  const auto replays = ReplaysOf(inputs, input);
  const auto cells = static_cast<double>(plan.cells.size());
  return {{"predicted_ms", times.total},
          {"low_ms", times.low},
          {"high_ms", times.high},
          {"lower_bound_ms", bound * plan.sequential_waves() / kNsPerMs},
          {"cells", plan.cells.size()},
          {"passes", plan.passes},
          {"cfg_degree", plan.cfg_degree()},
          {"pass_ranks", plan.pass_ranks()},
          {"rho_barrier_mean", cells > 0 ? Json(rho / cells) : Json(nullptr)},
          {"replay", NewestReplay(plan, replays)},
          {"verification", VerificationJson(replays)},
          {"baselines", Baselines(inputs, plan_index, compares)}};
}

Json PlanNotices(const ReportInputs& inputs, const PlanInput& input) {
  const Plan& plan = input.plan;
  Json out = Json::array();
  if (!plan.cluster.empty() && !plan.database_hash.empty()) {
    out.push_back(
        Notice("warning",
               fmt::format("Exchange times are {} ({}). Attention, copies and merges were "
                           "measured on {}.",
                           NameOf(plan.costs),
                           plan.cluster,
                           plan.device)));
  } else if (plan.costs == CostSource::kAnalytic || plan.costs == CostSource::kPublished) {
    out.push_back(Notice("warning",
                         fmt::format("Costs are {}{}. Imbalance, bytes and the order of strategies "
                                     "are meaningful, but times were not measured.",
                                     NameOf(plan.costs),
                                     plan.cluster.empty() ? "" : " (" + plan.cluster + ")")));
  }
  if (!plan.database_hash.empty() && plan.database_hash != inputs.measurement_hash) {
    out.push_back(Notice("warning",
                         fmt::format("Stale: the plan was made from measurements {}, but the "
                                     "database now has {}. Run dbsp-tune again to use them.",
                                     plan.database_hash,
                                     inputs.measurement_hash)));
  }
  AddReplayNotices(inputs, ReplaysOf(inputs, input), out);
  return out;
}

}  // namespace dbsp::reports
