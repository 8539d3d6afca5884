// SPDX-License-Identifier: Apache-2.0
// The ledger of a replay: predicted against replayed time. dbsp-replay and the page add up records
// with these functions, and the view v_ledger follows the same rules in SQL.
//
// An error is replayed minus predicted, and a relative error is that over the predicted time. Both
// are positive when the replay took longer than predicted.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/records.h"

namespace dbsp {

/// Totals of the segments of one kind, over all ranks and cells. Times are multiplied by the
/// multiplicity of the cell (1 where it is not known) and are of one wave of passes.
struct LedgerEntry {
  std::int64_t segments = 0;  ///< replayed segments that have a prediction, each counted once
  std::int64_t predicted_ns = 0;  ///< of these segments
  std::int64_t replayed_ns = 0;  ///< of these segments
  std::int64_t unpredicted_segments = 0;  ///< replayed segments without a prediction
  std::int64_t unpredicted_ns = 0;  ///< their replayed time
  /// False where the replay copied the times from the plan (exchanges and hops of the serial
  /// transport). They say nothing about the prediction, so there is no error.
  bool measured = true;
  /// Missing when nothing was measured.
  [[nodiscard]] std::optional<std::int64_t> error_ns() const;
  [[nodiscard]] std::optional<double> relative_error() const;
};

/// Totals of the cells' makespans, multiplied by multiplicity, of one wave of passes.
struct ReplayTotals {
  /// Sum of the multiplicities. Missing when that of any cell is not known; each such cell then
  /// counts once in the sums below.
  std::optional<std::int64_t> cells_meant = 0;
  std::int64_t predicted_ns = 0;
  std::int64_t replayed_ns = 0;
};

using Ledger = std::array<LedgerEntry, kSegmentKinds>;  ///< indexed by SegmentKind

/// Whether a replay over this transport measures segments of this kind. The serial transport runs
/// one rank after the other and takes the times of exchanges and hops from the plan.
[[nodiscard]] bool IsMeasured(std::string_view transport, SegmentKind kind);

[[nodiscard]] Ledger LedgerOf(const ReplayRecord& replay);
/// Sum of the entries that were measured: the part whose error says something.
[[nodiscard]] LedgerEntry MeasuredPart(const Ledger& ledger);
[[nodiscard]] ReplayTotals TotalsOf(const ReplayRecord& replay);

/// (replayed - predicted) / predicted. Missing when nothing was predicted.
[[nodiscard]] std::optional<double> RelativeError(std::int64_t predicted_ns,
                                                  std::int64_t replayed_ns);

}  // namespace dbsp
