// SPDX-License-Identifier: Apache-2.0
// The verdict of one plan: headline, predicted and replayed time, gains, verification.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/ledger.h"
#include "core/units.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

struct Times {
  double total = 0;
  double low = 0;
  double high = 0;
};

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

Json VerificationJson(const std::vector<const db::StoredReplay*>& replays) {
  Json out = {{"state", replays.empty() ? "none" : "unverified"},
              {"max_relative_error", nullptr},
              {"max_abs_error", nullptr},
              {"max_lse_error", nullptr},
              {"cells", 0}};
  auto verified = std::ranges::find_if(replays, [](const auto* r) { return !r->replay.passed; });
  if (verified == replays.end()) {
    verified = std::ranges::find_if(replays, [](const auto* r) { return r->replay.verified; });
  }
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

/// Whether the replayed cells stand for all cells of the plan.
bool IsWhole(const Plan& plan, const ReplayRecord& replay) {
  const auto meant = TotalsOf(replay).cells_meant;
  return meant && std::cmp_equal(*meant, plan.cells.size());
}

/// Totals of all passes, as dbsp-replay prints them, of the replay that says most about the plan.
Json BestReplay(const ReportInputs& inputs,
                const Plan& plan,
                const std::vector<const db::StoredReplay*>& replays) {
  if (replays.empty()) return nullptr;
  const db::StoredReplay& best = *replays.front();
  const ReplayRecord& replay = best.replay;
  const ReplayTotals totals = TotalsOf(replay);
  return {{"id", best.id},
          {"grade", NameOf(GradeOf(inputs, plan, best))},
          {"whole", IsWhole(plan, replay)},
          {"device", replay.device},
          {"transport", replay.transport},
          {"exchange_source", replay.exchange_source},
          {"cells", replay.cells.size()},
          {"cells_meant", OrNull(totals.cells_meant)},
          {"predicted_ms", ToMs(totals.predicted_ns * plan.sequential_waves())},
          {"replayed_ms", ToMs(totals.replayed_ns * plan.sequential_waves())},
          {"relative_error", OrNull(RelativeError(totals.predicted_ns, totals.replayed_ns))},
          {"measured_relative_error", OrNull(MeasuredPart(LedgerOf(replay)).relative_error())}};
}

/// The time of the whole plan: replayed on its devices, else replayed serially, else predicted. A
/// replay of some cells only, or one that says little, is never the headline.
Json HeadlineJson(const ReportInputs& inputs,
                  const Plan& plan,
                  const std::vector<const db::StoredReplay*>& replays,
                  double predicted_ms) {
  for (const db::StoredReplay* stored : replays) {
    const ReplayGrade grade = GradeOf(inputs, plan, *stored);
    if (grade != ReplayGrade::kDevices && grade != ReplayGrade::kSerial) break;
    if (!IsWhole(plan, stored->replay)) continue;
    const std::int64_t ns = TotalsOf(stored->replay).replayed_ns * plan.sequential_waves();
    return {{"source", NameOf(grade)}, {"ms", ToMs(ns)}, {"replay", stored->id}};
  }
  return {{"source", "predicted"}, {"ms", predicted_ms}, {"replay", nullptr}};
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
  Json out = {{"headline", HeadlineJson(inputs, plan, replays, times.total)},
              {"predicted_ms", times.total},
              {"low_ms", times.low},
              {"high_ms", times.high},
              {"lower_bound_ms", bound * plan.sequential_waves() / kNsPerMs},
              {"cells", plan.cells.size()},
              {"passes", plan.passes},
              {"cfg_degree", plan.cfg_degree()},
              {"pass_ranks", plan.pass_ranks()},
              {"rho_barrier_mean", cells > 0 ? Json(rho / cells) : Json(nullptr)},
              {"replay", BestReplay(inputs, plan, replays)},
              {"model_error", OrNull(ModelErrorOf(plan))},
              {"verification", VerificationJson(replays)}};
  AddGains(inputs, plan_index, compares, out);
  out["ladder"] = LadderJson(inputs, plan_index, compares, out);
  out["sentences"] = SentencesJson(inputs, input, out);
  return out;
}

}  // namespace dbsp::reports
