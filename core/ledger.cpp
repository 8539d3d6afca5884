// SPDX-License-Identifier: Apache-2.0
#include "core/ledger.h"

namespace dbsp {

std::optional<double> LedgerEntry::relative_error() const {
  return RelativeError(predicted_ns, replayed_ns);
}

Ledger LedgerOf(const ReplayRecord& replay) {
  Ledger ledger{};
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
