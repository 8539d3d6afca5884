// SPDX-License-Identifier: Apache-2.0
// Replays of a plan and their ledgers: predicted against replayed per kind of segment.
#include <algorithm>
#include <array>
#include <optional>

#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

struct Entry {
  std::int64_t predicted = 0;
  std::int64_t replayed = 0;
  std::int64_t segments = 0;
  std::int64_t unmatched = 0;
};

/// Sums over cells and ranks of the segments the plan predicted; the others are only counted.
std::array<Entry, kSegmentKinds> LedgerOf(const ReplayRecord& replay) {
  std::array<Entry, kSegmentKinds> entries{};
  for (const ReplayCell& cell : replay.cells) {
    for (std::size_t i = 0; i < cell.segments.size(); ++i) {
      Entry& entry = entries[static_cast<std::size_t>(cell.segments[i].kind)];
      ++entry.segments;
      if (i >= cell.segment_predicted_ns.size() || !cell.segment_predicted_ns[i]) {
        ++entry.unmatched;
        continue;
      }
      entry.predicted += *cell.segment_predicted_ns[i];
      entry.replayed += cell.segments[i].duration_ns;
    }
  }
  return entries;
}

Json LedgerJson(const ReplayRecord& replay) {
  Json rows = Json::array();
  const auto entries = LedgerOf(replay);
  for (std::size_t kind = 0; kind < entries.size(); ++kind) {
    const Entry& entry = entries[kind];
    if (entry.segments == 0) continue;
    const bool known = entry.unmatched < entry.segments;
    rows.push_back(
        {{"kind", NameOf(static_cast<SegmentKind>(kind))},
         {"predicted_ns", known ? Json(entry.predicted) : Json(nullptr)},
         {"replayed_ns", known ? Json(entry.replayed) : Json(nullptr)},
         {"difference_ns", known ? Json(entry.replayed - entry.predicted) : Json(nullptr)},
         {"segments", entry.segments},
         {"unmatched", entry.unmatched}});
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

std::vector<const db::StoredReplay*> ReplaysOf(const ReportInputs& inputs, const PlanInput& plan) {
  std::vector<const db::StoredReplay*> found;
  for (const db::StoredReplay& stored : inputs.replays) {
    const auto& hashes = plan.hashes;
    if (std::find(hashes.begin(), hashes.end(), stored.replay.plan_hash) != hashes.end()) {
      found.push_back(&stored);
    }
  }
  std::reverse(found.begin(), found.end());
  // More ranks than cores: right outputs, but times that say little, so never the headline.
  std::stable_partition(found.begin(), found.end(), [&](const db::StoredReplay* stored) {
    return !OversubscribedCores(inputs, *stored).has_value();
  });
  return found;
}

Json ReplaysJson(const std::vector<const db::StoredReplay*>& replays, const ReportLimits& limits) {
  Json out = Json::array();
  for (std::size_t i = 0; i < std::min(limits.replays, replays.size()); ++i) {
    const ReplayRecord& replay = replays[i]->replay;
    std::int64_t predicted = 0;
    std::int64_t replayed = 0;
    for (const ReplayCell& cell : replay.cells) {
      predicted += cell.predicted_ns;
      replayed += cell.replayed_ns;
    }
    out.push_back({{"id", replays[i]->id},
                   {"environment", replays[i]->environment_id},
                   {"device", replay.device},
                   {"transport", replay.transport},
                   {"exchange_source", replay.exchange_source},
                   {"ranks", replay.ranks},
                   {"verified", replay.verified},
                   {"passed", replay.passed},
                   {"started_utc", replay.started_utc},
                   {"cells", replay.cells.size()},
                   {"predicted_ns", predicted},
                   {"replayed_ns", replayed},
                   {"ledger", LedgerJson(replay)}});
  }
  return out;
}

}  // namespace dbsp::reports
