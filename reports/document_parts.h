// SPDX-License-Identifier: Apache-2.0
// Parts of the data document, one function each. Private to reports/: it pulls in nlohmann json.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "reports/document.h"
#include "reports/inputs.h"

namespace dbsp::reports {

/// {"level", "text"}; level is "error", "warning" or "note".
[[nodiscard]] Json Notice(const char* level, const std::string& text);

/// Value or null.
template <typename T>
[[nodiscard]] Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

[[nodiscard]] Json DatabaseJson(const ReportInputs& inputs, const ReportLimits& limits);
[[nodiscard]] Json TrialsJson(const ReportInputs& inputs, const ReportLimits& limits);
/// Warnings that hold for the whole page: failed trials, what was read in part.
[[nodiscard]] Json GlobalNotices(const ReportInputs& inputs);

/// A compare document: its rows, and which of the given plans it belongs to.
struct CompareDocument {
  std::string name;
  std::int64_t ranks = 0;
  std::string costs;
  std::vector<std::size_t> plans;  ///< indices into ReportInputs::plans
  Json candidates;  ///< rows with the columns docs/formats/report.md lists
};
/// errors  Error{kCorruptInput} naming file and key
[[nodiscard]] CompareDocument ReadCompare(const CompareInput& input, const ReportInputs& inputs);
[[nodiscard]] Json CompareJson(const CompareDocument& document);

/// Strategies without their partition: a plan may hold hundreds that differ in it only.
struct StrategyTable {
  std::vector<Strategy> distinct;  ///< partition set to 0
  std::vector<int> of;  ///< [Plan::strategies] index into distinct
};
[[nodiscard]] StrategyTable MakeStrategyTable(const Plan& plan);
[[nodiscard]] std::string LabelOf(const Strategy& strategy, const Plan& plan);
[[nodiscard]] Json StrategiesJson(const Plan& plan, const StrategyTable& table);
/// "predictions" (used ones, without segments), "cells" (columns) and "cells_total" into `out`.
void AddCells(const PlanInput& input,
              const std::vector<const db::StoredReplay*>& replays,
              const StrategyTable& table,
              const ReportLimits& limits,
              Json& out);
/// "shown" and "shown_total": the distinct cells that take most time, with load and timelines.
void AddShownCells(const ReportInputs& inputs,
                   const PlanInput& input,
                   const std::vector<const db::StoredReplay*>& replays,
                   const StrategyTable& table,
                   const ReportLimits& limits,
                   Json& out);

/// Cores of a threads replay on a CPU that has fewer of them than ranks: its outputs count, its
/// times say little. Nothing for every other replay.
[[nodiscard]] std::optional<int> OversubscribedCores(const ReportInputs& inputs,
                                                     const db::StoredReplay& stored);

/// Replays of the plan, newest first, oversubscribed ones last.
[[nodiscard]] std::vector<const db::StoredReplay*> ReplaysOf(const ReportInputs& inputs,
                                                             const PlanInput& plan);
[[nodiscard]] Json ReplaysJson(const std::vector<const db::StoredReplay*>& replays,
                               const ReportLimits& limits);

/// Opens the masks of one plan once and answers load per rank of its cells.
class LoadView {
 public:
  LoadView(const ReportInputs& inputs, const PlanInput& input);
  ~LoadView();
  LoadView(const LoadView&) = delete;
  LoadView& operator=(const LoadView&) = delete;
  /// {"ranks", "mean", "charts": [...]} or {"missing": why}; bad masks never stop a report.
  [[nodiscard]] Json At(const PlanCell& cell) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Json VerdictJson(const ReportInputs& inputs,
                               std::size_t plan_index,
                               const std::vector<CompareDocument>& compares);
[[nodiscard]] Json PlanNotices(const ReportInputs& inputs, const PlanInput& plan);

}  // namespace dbsp::reports
