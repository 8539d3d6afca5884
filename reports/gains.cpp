// SPDX-License-Identifier: Apache-2.0
// Gains of a plan over its baselines, replayed and predicted. core/baseline.h says what a baseline
// is; where none of the inputs has one, the reason stands in place of a gain.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/baseline.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

using CellKey = std::pair<int, int>;

Json GainJson(Family family,
              const char* kind,
              const std::string& source,
              const Gain& gain,
              std::size_t cells,
              std::size_t all_cells) {
  return {{"family", NameOf(family)},
          {"kind", kind},
          {"source", source},
          {"baseline_ms", gain.baseline_ns / kNsPerMs},
          {"plan_ms", gain.plan_ns / kNsPerMs},
          {"gain", gain.gain},
          {"gain_low", OrNull(gain.low)},
          {"gain_high", OrNull(gain.high)},
          {"flip_chance", OrNull(gain.flip_chance)},
          {"verdict", NameOf(gain.verdict)},
          {"cells", cells},
          {"cells_total", all_cells}};
}

/// Replayed time of every cell of the plan for all passes, from one replay. A replayed cell that
/// stands for others gives them its time: they have the same masks and the same strategy.
std::map<CellKey, double> ReplayedTimes(const Plan& plan, const ReplayRecord& replay) {
  std::map<CellKey, const ReplayCell*> replayed;
  for (const ReplayCell& cell : replay.cells) replayed[{cell.step, cell.layer}] = &cell;
  std::map<CellKey, double> times;
  std::map<int, double> shared;  // by prediction
  for (const PlanCell& cell : plan.cells) {
    const auto found = replayed.find({cell.step, cell.layer});
    if (found == replayed.end()) continue;
    const double ns = static_cast<double>(found->second->replayed_ns) * plan.sequential_waves();
    times[{cell.step, cell.layer}] = ns;
    if (found->second->multiplicity.value_or(1) > 1) shared.try_emplace(cell.prediction, ns);
  }
  for (const PlanCell& cell : plan.cells) {
    const auto found = shared.find(cell.prediction);
    if (found != shared.end()) times.try_emplace({cell.step, cell.layer}, found->second);
  }
  return times;
}

/// The other plans that are this baseline of the plan, those with the newest replays last.
std::vector<const PlanInput*> BaselinePlans(const ReportInputs& inputs,
                                            const PlanInput& mine,
                                            Family family) {
  std::vector<const PlanInput*> found;
  for (const auto* list : {&inputs.plans, &inputs.other_plans}) {
    for (const PlanInput& other : *list) {
      if (&other != &mine && IsBaselinePlan(other.plan, mine.plan, family)) found.push_back(&other);
    }
  }
  return found;
}

/// Gain of the cells that both plans replayed in the same way: on the same device, over the same
/// transport. Empty where there is none.
Json ReplayedGain(const ReportInputs& inputs,
                  const PlanInput& mine,
                  const PlanInput& other,
                  Family family,
                  ReplayGrade grade) {
  for (const db::StoredReplay* replay : ReplaysOf(inputs, mine)) {
    if (GradeOf(inputs, mine.plan, *replay) != grade) continue;
    for (const db::StoredReplay* theirs : ReplaysOf(inputs, other)) {
      if (GradeOf(inputs, other.plan, *theirs) != grade ||
          theirs->replay.transport != replay->replay.transport ||
          theirs->replay.device != replay->replay.device) {
        continue;
      }
      const auto base_times = ReplayedTimes(other.plan, theirs->replay);
      double plan_ns = 0;
      double base_ns = 0;
      std::size_t cells = 0;
      for (const auto& [key, ns] : ReplayedTimes(mine.plan, replay->replay)) {
        const auto found = base_times.find(key);
        if (found == base_times.end()) continue;
        plan_ns += ns;
        base_ns += found->second;
        ++cells;
      }
      if (plan_ns <= 0 || base_ns <= 0) continue;
      return GainJson(family,
                      NameOf(grade),
                      fmt::format("replays {} and {}", theirs->id, replay->id),
                      PlainGain(base_ns, plan_ns),
                      cells,
                      mine.plan.cells.size());
    }
  }
  return nullptr;
}

/// Predicted gain over a plan that is the baseline and has every cell. Empty without such a plan.
std::optional<Gain> GainOverPlan(const Plan& plan, const Plan& plain) {
  std::map<CellKey, const Prediction*> theirs;
  for (const PlanCell& cell : plain.cells) {
    theirs[{cell.step, cell.layer}] = &plain.predictions[cell.prediction];
  }
  GainSum sum;
  for (const PlanCell& cell : plan.cells) {
    const auto found = theirs.find({cell.step, cell.layer});
    if (found == theirs.end()) return std::nullopt;
    sum.Add(TimeOf(plan.predictions[cell.prediction]),
            plan.sequential_waves(),
            TimeOf(*found->second),
            plain.sequential_waves());
  }
  return sum.Result(ModelErrorOf(plan).value_or(0));
}

/// The predicted gain, or the reason why there is none in `why`.
Json PredictedGain(const ReportInputs& inputs,
                   const PlanInput& mine,
                   Family family,
                   const std::vector<CompareDocument>& compares,
                   std::size_t index,
                   std::string& why) {
  const Plan& plan = mine.plan;
  const auto result = [&](const std::string& source, const Gain& gain) {
    return GainJson(family, "predicted", source, gain, plan.cells.size(), plan.cells.size());
  };
  const auto stored = std::ranges::find(plan.baselines, family, &Baseline::family);
  if (stored != plan.baselines.end()) {
    if (const auto gain = GainOver(plan, *stored)) return result(mine.name, *gain);
    why = WhyNoGain(*stored);
  } else {
    why = "the plan stores no baselines; make it again with dbsp-tune";
  }
  for (const PlanInput* other : BaselinePlans(inputs, mine, family)) {
    if (const auto gain = GainOverPlan(plan, other->plan)) return result(other->name, *gain);
  }
  for (const CompareDocument& document : compares) {
    if (std::ranges::find(document.plans, index) == document.plans.end()) continue;
    if (const auto base = BaselineOf(document, family)) {
      GainSum sum;
      for (const PlanCell& cell : plan.cells) {
        sum.Add(TimeOf(plan.predictions[cell.prediction]), plan.sequential_waves(), {}, 0);
      }
      sum.Add({}, 0, *base, 1);
      return result(document.name, sum.Result(ModelErrorOf(plan).value_or(0)));
    }
  }
  return nullptr;
}

/// Order of gains: replayed on devices, then serially, then predicted; the first one with all cells
/// is the headline. A replay of some cells comes after the prediction of all.
int PlaceOf(const Json& gain) {
  const bool whole = gain["cells"] == gain["cells_total"];
  const std::string kind = gain["kind"];
  if (kind == "predicted") return 2;
  const int place = kind == NameOf(ReplayGrade::kDevices) ? 0 : 1;
  return whole ? place : 3 + place;
}

}  // namespace

void AddGains(const ReportInputs& inputs,
              std::size_t index,
              const std::vector<CompareDocument>& compares,
              Json& verdict) {
  const PlanInput& mine = inputs.plans[index];
  verdict["baselines"] = Json::array();
  verdict["missing_baselines"] = Json::array();
  for (const Family family : kBaselineFamilies) {
    std::vector<Json> gains;
    std::string why;
    Json predicted = PredictedGain(inputs, mine, family, compares, index, why);
    if (!predicted.is_null()) gains.push_back(std::move(predicted));
    for (const ReplayGrade grade : {ReplayGrade::kDevices, ReplayGrade::kSerial}) {
      for (const PlanInput* other : BaselinePlans(inputs, mine, family)) {
        Json gain = ReplayedGain(inputs, mine, *other, family, grade);
        if (gain.is_null()) continue;
        gains.push_back(std::move(gain));
        break;
      }
    }
    std::ranges::stable_sort(gains, {}, PlaceOf);
    if (gains.empty()) {
      verdict["missing_baselines"].push_back({{"family", NameOf(family)}, {"reason", why}});
    }
    for (Json& gain : gains) verdict["baselines"].push_back(std::move(gain));
  }
}

}  // namespace dbsp::reports
