// SPDX-License-Identifier: Apache-2.0
// Replays of a plan and their ledgers: predicted against replayed per kind of segment.
#include <algorithm>
#include <optional>

#include "core/ledger.h"
#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

Json LedgerJson(const ReplayRecord& replay) {
  Json rows = Json::array();
  const Ledger ledger = LedgerOf(replay);
  for (std::size_t kind = 0; kind < ledger.size(); ++kind) {
    const LedgerEntry& entry = ledger[kind];
    const std::int64_t segments = entry.segments + entry.unpredicted_segments;
    if (segments == 0) continue;
    const bool known = entry.segments > 0;
    rows.push_back({{"kind", NameOf(static_cast<SegmentKind>(kind))},
                    {"predicted_ns", known ? Json(entry.predicted_ns) : Json(nullptr)},
                    {"replayed_ns", known ? Json(entry.replayed_ns) : Json(nullptr)},
                    {"measured", entry.measured},
                    {"difference_ns", known ? OrNull(entry.error_ns()) : Json(nullptr)},
                    {"relative_error", OrNull(entry.relative_error())},
                    {"segments", segments},
                    {"unmatched", entry.unpredicted_segments}});
  }
  return rows;
}

}  // namespace

std::optional<int> OversubscribedCores(const ReportInputs& inputs, const db::StoredReplay& stored) {
  if (stored.replay.transport != "threads") return std::nullopt;
  for (const db::StoredEnvironment& environment : inputs.environments) {
    const Provenance& where = environment.provenance;
    if (environment.id != stored.environment_id || where.device_kind != "cpu") continue;
    if (where.cores > 0 && stored.replay.ranks > where.cores) return where.cores;
  }
  return std::nullopt;
}

const char* NameOf(ReplayGrade grade) {
  switch (grade) {
    case ReplayGrade::kDevices:
      return "replayed";
    case ReplayGrade::kSerial:
      return "replayed serially";
    case ReplayGrade::kOversubscribed:
      return "oversubscribed";
    case ReplayGrade::kOtherDevice:
      return "other device";
    case ReplayGrade::kFailed:
      break;
  }
  return "failed";
}

namespace {

/// Whether the replay ran on the device that the plan is for. A plan of a cluster's published
/// figures names no device that a run could report, so any GPU is taken.
bool OnPlannedDevice(const ReportInputs& inputs, const Plan& plan, const db::StoredReplay& stored) {
  if (!plan.database_hash.empty() || plan.cluster.empty()) {
    return stored.replay.device == plan.device;
  }
  return std::ranges::none_of(inputs.environments, [&](const db::StoredEnvironment& environment) {
    return environment.id == stored.environment_id && environment.provenance.device_kind == "cpu";
  });
}

}  // namespace

ReplayGrade GradeOf(const ReportInputs& inputs, const Plan& plan, const db::StoredReplay& stored) {
  if (!stored.replay.passed) return ReplayGrade::kFailed;
  if (!OnPlannedDevice(inputs, plan, stored)) return ReplayGrade::kOtherDevice;
  if (OversubscribedCores(inputs, stored)) return ReplayGrade::kOversubscribed;
  return stored.replay.transport == "serial" ? ReplayGrade::kSerial : ReplayGrade::kDevices;
}

std::vector<const db::StoredReplay*> ReplaysOf(const ReportInputs& inputs, const PlanInput& plan) {
  std::vector<const db::StoredReplay*> found;
  for (const db::StoredReplay& stored : inputs.replays) {
    const auto& hashes = plan.hashes;
    if (std::find(hashes.begin(), hashes.end(), stored.replay.plan_hash) != hashes.end()) {
      found.push_back(&stored);
    }
  }
  std::reverse(found.begin(), found.end());
  std::ranges::stable_sort(found, {}, [&](const db::StoredReplay* stored) {
    return GradeOf(inputs, plan.plan, *stored);
  });
  return found;
}

Json ReplaysJson(const ReportInputs& inputs,
                 const Plan& plan,
                 const std::vector<const db::StoredReplay*>& replays,
                 const ReportLimits& limits) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(limits.replays, replays.size()); ++i) {
    const ReplayRecord& replay = replays[i]->replay;
    const ReplayTotals totals = TotalsOf(replay);
    const LedgerEntry measured = MeasuredPart(LedgerOf(replay));
    const bool known = measured.segments > 0;
    out.push_back(
        {{"id", replays[i]->id},
         {"grade", NameOf(GradeOf(inputs, plan, *replays[i]))},
         {"cores", OrNull(OversubscribedCores(inputs, *replays[i]))},
         {"environment", replays[i]->environment_id},
         {"device", replay.device},
         {"transport", replay.transport},
         {"exchange_source", replay.exchange_source},
         {"ranks", replay.ranks},
         {"verified", replay.verified},
         {"passed", replay.passed},
         {"started_utc", replay.started_utc},
         {"cells", replay.cells.size()},
         {"cells_meant", OrNull(totals.cells_meant)},
         {"predicted_ns", totals.predicted_ns},
         {"replayed_ns", totals.replayed_ns},
         {"relative_error", OrNull(RelativeError(totals.predicted_ns, totals.replayed_ns))},
         {"measured_predicted_ns", known ? Json(measured.predicted_ns) : Json(nullptr)},
         {"measured_replayed_ns", known ? Json(measured.replayed_ns) : Json(nullptr)},
         {"measured_relative_error", OrNull(measured.relative_error())},
         {"ledger", LedgerJson(replay)}});
  }
  return out;
}

}  // namespace dbsp::reports
