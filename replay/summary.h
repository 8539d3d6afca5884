// SPDX-License-Identifier: Apache-2.0
// A replay in numbers and words: what dbsp-replay prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/ledger.h"
#include "core/plan.h"
#include "core/records.h"
#include "replay/replay.h"

namespace dbsp::replay {

struct ReplaySummary {
  std::int64_t cells = 0;  ///< run
  std::int64_t cells_meant = 0;  ///< that they stand for
  std::int64_t cells_in_plan = 0;
  std::int64_t predicted_ns = 0;  ///< makespans of the cells meant, times sequential waves
  std::int64_t replayed_ns = 0;
  Ledger ledger{};
  std::size_t worst_cell = 0;  ///< index into record.cells: largest |replayed / predicted - 1|
  double attention_balance = 1;  ///< sum of max / sum of mean over ranks, attention time
  double block_balance = 1;  ///< the same of active blocks computed
  std::int64_t bytes_moved = 0;  ///< sent between ranks, all ranks, one turn, in the type that ran
  std::int64_t memory_bytes = 0;  ///< largest cell, buffers of all ranks
  std::int64_t rows_checked = 0;
  std::int64_t rows = 0;  ///< of the cells verified
  double relative_error = 0;  ///< worst of the cells verified
  double max_abs_error = 0;
  std::optional<double> lse_error;  ///< missing when no kernel writes a log-sum-exp
  std::optional<double> unsplit_error;  ///< worst of the cells compared with an unsplit run
  std::optional<double> unsplit_lse_error;
  std::optional<std::size_t> first_failure;  ///< index into record.cells
};

[[nodiscard]] ReplaySummary Summarize(const Plan& plan, const ReplayOutcome& outcome);

/// What tracing cost, over all cells run; absent where none was traced.
[[nodiscard]] std::optional<TraceOverhead> OverheadOf(const ReplayOutcome& outcome);

/// Lines for people.
[[nodiscard]] std::string SummaryText(const Plan& plan,
                                      const ReplayOutcome& outcome,
                                      const ReplayOptions& options,
                                      const Provenance& machine);

/// Predicted against replayed, one line per segment.
[[nodiscard]] std::string LedgerText(const ReplayRecord& record);

/// "step 3 layer 7: ..." of the first failed verification; "" when none failed.
[[nodiscard]] std::string FailureText(const ReplayOutcome& outcome);

/// One document, "dbsp.replay/1": summary, provenance and the ledger of every cell.
[[nodiscard]] std::string ReplayJson(const Plan& plan,
                                     const ReplayOutcome& outcome,
                                     const ReplayOptions& options,
                                     const Provenance& machine);

}  // namespace dbsp::replay
