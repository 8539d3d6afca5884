// SPDX-License-Identifier: Apache-2.0
// Notices of one plan: what a reader must know before taking its numbers.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/workload.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

/// One sentence on each replay whose times or outputs do not say what a reader expects.
void AddReplayNotices(const ReportInputs& inputs, const PlanInput& input, Json& out) {
  const auto replays = ReplaysOf(inputs, input);
  if (replays.empty()) {
    out.push_back(Notice("note", "This plan was not replayed. Its times are predictions."));
    return;
  }
  bool verified = false;
  for (const db::StoredReplay* stored : replays) {
    const ReplayRecord& replay = stored->replay;
    verified = verified || replay.verified;
    if (!replay.passed) {
      out.push_back(Notice(
          "error",
          fmt::format("Replay {} failed its verification. Do not use the output of this plan.",
                      stored->id)));
    }
    if (const auto cores = OversubscribedCores(inputs, *stored)) {
      out.push_back(
          Notice("warning",
                 fmt::format("Oversubscribed: replay {} ran {} ranks on {} cores. Ranks waited for "
                             "each other, so its times are not those of {} devices.",
                             stored->id,
                             replay.ranks,
                             *cores,
                             replay.ranks)));
    }
    if (GradeOf(inputs, input.plan, *stored) == ReplayGrade::kOtherDevice) {
      out.push_back(Notice("warning",
                           fmt::format("Replay {} ran on {}, but the plan is for {}. Its times say "
                                       "nothing about the plan's.",
                                       stored->id,
                                       replay.device,
                                       input.plan.device)));
    }
    if (replay.transport == "serial") {
      out.push_back(
          Notice("note",
                 fmt::format("Replay {} ran the ranks one after the other on one device. Its "
                             "timeline is composed of their times; exchanges: {}.",
                             stored->id,
                             replay.exchange_source)));
    }
  }
  if (!verified) {
    out.push_back(Notice("warning", "No replay of this plan was verified against the reference."));
  }
}

void AddCostNotices(const ReportInputs& inputs, const Plan& plan, Json& out) {
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
  if (inputs.database_name.empty() || plan.database_hash.empty()) return;
  if (plan.database_hash != inputs.measurement_hash) {
    out.push_back(Notice("warning",
                         fmt::format("Stale: the plan was made from measurements {}, but the "
                                     "database now has {}. Run dbsp-tune again to use them.",
                                     plan.database_hash,
                                     inputs.measurement_hash)));
  }
}

/// Rules whose masks are not those of a model: block counts alone, or nothing, were measured.
void AddMaskNotices(const PlanInput& input, Json& out) {
  const Workload workload = WorkloadFromJson(input.plan.workload_json, input.name + ": workload");
  std::set<std::string> used;
  for (const MaskAssignment& assignment : workload.assignments) {
    used.insert(workload.rules.at(assignment.rule).rule);
  }
  if (used.contains("density")) {
    out.push_back(Notice("warning",
                         "Block positions are made up: the density rule knows how many blocks of a "
                         "head are active, not which. Imbalance between heads is measured; "
                         "imbalance between rows is not."));
  }
  if (used.contains("random")) {
    out.push_back(Notice("note", "Masks are random: they show no model's imbalance."));
  }
}

void AddTuningNotices(const Plan& plan, Json& out) {
  if (!plan.close_calls) {
    out.push_back(Notice("note",
                         "The plan is of an older version, which stored no close calls, notes and "
                         "held-out errors. Run dbsp-tune again to have them."));
    return;
  }
  if (!plan.close_calls->empty()) {
    out.push_back(Notice("note",
                         fmt::format("{} of {} cells are close calls: another strategy may be "
                                     "faster within the errors of the costs.",
                                     plan.close_calls->size(),
                                     plan.cells.size())));
  }
}

}  // namespace

Json PlanNotices(const ReportInputs& inputs, const PlanInput& input) {
  Json out = Json::array();
  AddCostNotices(inputs, input.plan, out);
  AddMaskNotices(input, out);
  AddTuningNotices(input.plan, out);
  AddReplayNotices(inputs, input, out);
  return out;
}

/// Fits, notes and close calls of the tuner.
Json TuningJson(const Plan& plan) {
  Json fits = Json::array();
  for (const CostFit& fit : plan.fits) {
    fits.push_back({{"operation", fit.operation},
                    {"name", fit.name},
                    {"points", fit.points},
                    {"held_out_error", fit.held_out_error},
                    {"median_error", OrNull(fit.median_error)}});
  }
  Json calls = {{"step", Json::array()},
                {"layer", Json::array()},
                {"rival", Json::array()},
                {"rival_ns", Json::array()}};
  if (plan.close_calls) {
    for (const CloseCall& call : *plan.close_calls) {
      calls["step"].push_back(call.step);
      calls["layer"].push_back(call.layer);
      calls["rival"].push_back(call.rival);
      calls["rival_ns"].push_back(call.rival_ns);
    }
  }
  return {{"known", plan.close_calls.has_value()},
          {"notes", plan.notes},
          {"fits", std::move(fits)},
          {"close_calls", std::move(calls)}};
}

}  // namespace dbsp::reports
