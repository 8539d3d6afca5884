// SPDX-License-Identifier: Apache-2.0
// Functions that make the parts of the data document. Private to reports/, because it includes
// nlohmann json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "reports/inputs.h"
#include "reports/limits.h"

namespace dbsp::reports {

/// {"level", "text"}, where level is "error", "warning" or "note".
[[nodiscard]] Json Notice(const char* level, const std::string& text);

/// Value or null.
template <typename T>
[[nodiscard]] Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

[[nodiscard]] Json DatabaseJson(const ReportInputs& inputs, const ReportLimits& limits);
[[nodiscard]] Json TrialsJson(const ReportInputs& inputs, const ReportLimits& limits);
/// Notices about the whole page: failed trials and inputs that were read in part.
[[nodiscard]] Json GlobalNotices(const ReportInputs& inputs);

/// A compare document ("dbsp.compare/1") and the plans that it belongs to.
struct CompareDocument {
  std::string name;
  std::int64_t ranks = 0;
  std::string costs;
  std::vector<std::size_t> plans;  ///< indices into ReportInputs::plans
  Json candidates;  ///< rows with the columns of docs/formats/report.md
};
/// errors  Error{kCorruptInput} with the file and the key
[[nodiscard]] CompareDocument ReadCompare(const CompareInput& input, const ReportInputs& inputs);
[[nodiscard]] Json CompareJson(const CompareDocument& document);

/// Distinct strategies when partitions are ignored. A plan may have hundreds of strategies that
/// differ in their partitions only.
struct StrategyTable {
  std::vector<Strategy> distinct;  ///< with partition set to 0
  std::vector<int> of;  ///< [Plan::strategies] index into distinct
};
[[nodiscard]] StrategyTable MakeStrategyTable(const Plan& plan);
[[nodiscard]] std::string LabelOf(const Strategy& strategy, const Plan& plan);
[[nodiscard]] Json StrategiesJson(const Plan& plan, const StrategyTable& table);
/// Adds "predictions" (those in use, without segments), "cells" (columns) and "cells_total".
void AddCells(const PlanInput& input,
              const std::vector<const db::StoredReplay*>& replays,
              const StrategyTable& table,
              const ReportLimits& limits,
              Json& out);
/// Adds "shown" and "shown_total": the distinct cells that take the most time, with their load and
/// timelines.
void AddShownCells(const ReportInputs& inputs,
                   const PlanInput& input,
                   const std::vector<const db::StoredReplay*>& replays,
                   const StrategyTable& table,
                   const ReportLimits& limits,
                   Json& out);

/// Number of cores of a threads replay on a CPU with fewer cores than ranks, whose times are not
/// representative. Empty for every other replay.
[[nodiscard]] std::optional<int> OversubscribedCores(const ReportInputs& inputs,
                                                     const db::StoredReplay& stored);

/// Replays of the plan, newest first, with oversubscribed ones last.
[[nodiscard]] std::vector<const db::StoredReplay*> ReplaysOf(const ReportInputs& inputs,
                                                             const PlanInput& plan);
[[nodiscard]] Json ReplaysJson(const std::vector<const db::StoredReplay*>& replays,
                               const ReportLimits& limits);

/// Load per rank of a cell: {"ranks", "mean", "charts": [...]}, with a "note" when the plan has no
/// stored baselines, or {"missing": sentence} when it has no stored loads.
[[nodiscard]] Json LoadJson(const Plan& plan, const PlanCell& cell);

[[nodiscard]] Json VerdictJson(const ReportInputs& inputs,
                               std::size_t plan_index,
                               const std::vector<CompareDocument>& compares);
[[nodiscard]] Json PlanNotices(const ReportInputs& inputs, const PlanInput& plan);

}  // namespace dbsp::reports
