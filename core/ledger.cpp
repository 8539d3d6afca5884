// SPDX-License-Identifier: Apache-2.0
#include "core/ledger.h"

namespace dbsp {

std::optional<std::int64_t> LedgerEntry::error_ns() const {
  if (!measured) return std::nullopt;
  return replayed_ns - predicted_ns;
}

std::optional<double> LedgerEntry::relative_error() const {
  if (!measured) return std::nullopt;
  return RelativeError(predicted_ns, replayed_ns);
}

bool IsMeasured(std::string_view transport, SegmentKind kind) {
  const bool between_ranks = kind == SegmentKind::kExchange || kind == SegmentKind::kHop;
  return !between_ranks || transport != "serial";
}

LedgerEntry MeasuredPart(const Ledger& ledger) {
  LedgerEntry sum;
  for (const LedgerEntry& entry : ledger) {
    if (!entry.measured) continue;
    sum.segments += entry.segments;
    sum.predicted_ns += entry.predicted_ns;
    sum.replayed_ns += entry.replayed_ns;
    sum.unpredicted_segments += entry.unpredicted_segments;
    sum.unpredicted_ns += entry.unpredicted_ns;
  }
  return sum;
}

Ledger LedgerOf(const ReplayRecord& replay) {
  Ledger ledger{};
  for (int kind = 0; kind < kSegmentKinds; ++kind) {
    ledger[kind].measured = IsMeasured(replay.transport, static_cast<SegmentKind>(kind));
  }
  for (const ReplayCell& cell : replay.cells) {
    const std::int64_t multiplicity = cell.multiplicity.value_or(1);
    for (const Segment& segment : cell.segments) {
      LedgerEntry& entry = ledger[static_cast<std::size_t>(segment.kind)];
      if (segment.predicted_ns) {
        ++entry.segments;
        entry.predicted_ns += multiplicity * *segment.predicted_ns;
        entry.replayed_ns += multiplicity * segment.duration_ns;
      } else {
        ++entry.unpredicted_segments;
        entry.unpredicted_ns += multiplicity * segment.duration_ns;
      }
    }
  }
  return ledger;
}

ReplayTotals TotalsOf(const ReplayRecord& replay) {
  ReplayTotals totals;
  for (const ReplayCell& cell : replay.cells) {
    if (!cell.multiplicity) totals.cells_meant.reset();
    if (totals.cells_meant) *totals.cells_meant += *cell.multiplicity;
    totals.predicted_ns += cell.multiplicity.value_or(1) * cell.predicted_ns;
    totals.replayed_ns += cell.multiplicity.value_or(1) * cell.replayed_ns;
  }
  return totals;
}

std::optional<double> RelativeError(std::int64_t predicted_ns, std::int64_t replayed_ns) {
  if (predicted_ns <= 0) return std::nullopt;
  return static_cast<double>(replayed_ns - predicted_ns) / static_cast<double>(predicted_ns);
}

}  // namespace dbsp
