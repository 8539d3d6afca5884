// SPDX-License-Identifier: Apache-2.0
// Functions that make the parts of the data document. Private to reports/, because it includes
// nlohmann json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/baseline.h"
#include "core/json.h"
#include "core/strategy_name.h"
#include "reports/inputs.h"
#include "reports/limits.h"

namespace dbsp::reports {

/// {"level", "text"}, where level is "error", "warning" or "note".
[[nodiscard]] Json Notice(const char* level, const std::string& text);

/// The whole data document, checked against its schema. ReportDocument() is its text.
[[nodiscard]] Json MakeDocument(const ReportInputs& inputs, const ReportLimits& limits = {});

/// "26.6 s", "545 ms": three digits.
[[nodiscard]] std::string TimeText(double ms);

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
  /// Costs of its times; empty for documents of older versions, from which no gain is derived.
  std::optional<CostsIdentity> identity;
  std::vector<std::size_t> plans;  ///< indices into ReportInputs::plans
  Json candidates;  ///< rows with the columns of docs/formats/report.md
  Json cells;  ///< times per cell and candidate, null when the document has none
};
/// errors  Error{kCorruptInput} with the file and the key
[[nodiscard]] CompareDocument ReadCompare(const CompareInput& input, const ReportInputs& inputs);
[[nodiscard]] Json CompareJson(const CompareDocument& document);
/// Time of the candidate that is this baseline, summed over all cells and passes. Empty without it.
[[nodiscard]] std::optional<BaselineTime> BaselineOf(const CompareDocument& document,
                                                     Family family);

[[nodiscard]] Json StrategiesJson(const Plan& plan, const StrategyTable& table);
/// Adds "predictions" (those in use, without segments), "cells" (columns) and "cells_total".
void AddCells(const PlanInput& input,
              const std::vector<const db::StoredReplay*>& replays,
              const StrategyTable& table,
              const ReportLimits& limits,
              Json& out);
/// One replay of a cell.
struct ReplayedCell {
  const db::StoredReplay* stored = nullptr;
  const ReplayCell* cell = nullptr;
};

/// Cells that share a prediction. Their masks and strategies are equal, so one of them is shown for
/// all of them. It is the first cell that has a replay with segments, or else the first cell.
struct CellGroup {
  const PlanCell* cell = nullptr;
  std::int64_t cells = 0;
  double weight = 0;  ///< predicted time of all cells of the group
  std::vector<ReplayedCell> replays;  ///< of `cell`, the best grade first, at most 2
};
/// Groups of the plan, those with most predicted time first. owns  nothing
[[nodiscard]] std::vector<CellGroup> GroupsOf(const Plan& plan,
                                              const std::vector<const db::StoredReplay*>& replays);

/// Adds "shown" and "shown_total": the distinct cells that take the most time, with their load and
/// timelines.
void AddShownCells(const ReportInputs& inputs,
                   const PlanInput& input,
                   const std::vector<const db::StoredReplay*>& replays,
                   const StrategyTable& table,
                   const ReportLimits& limits,
                   Json& out);

/// How much the times of a replay say about the plan, the most first.
enum class ReplayGrade : std::uint8_t {
  kDevices,  ///< all ranks at the same time, each on a device (or core) of its own
  kSerial,  ///< the ranks one after the other; exchange times are the plan's
  kOversubscribed,  ///< more ranks than cores
  kOtherDevice,  ///< not the device that the plan is for
  kFailed,  ///< its outputs were wrong
};
/// "replayed", "replayed serially", "oversubscribed", "other device", "failed"
[[nodiscard]] const char* NameOf(ReplayGrade grade);
[[nodiscard]] ReplayGrade GradeOf(const ReportInputs& inputs,
                                  const Plan& plan,
                                  const db::StoredReplay& stored);

/// Number of cores of a threads replay on a CPU with fewer cores than ranks, whose times are not
/// representative. Empty for every other replay.
[[nodiscard]] std::optional<int> OversubscribedCores(const ReportInputs& inputs,
                                                     const db::StoredReplay& stored);

/// Replays of the plan by grade, the newest of a grade first.
[[nodiscard]] std::vector<const db::StoredReplay*> ReplaysOf(const ReportInputs& inputs,
                                                             const PlanInput& plan);
[[nodiscard]] Json ReplaysJson(const ReportInputs& inputs,
                               const Plan& plan,
                               const std::vector<const db::StoredReplay*>& replays,
                               const ReportLimits& limits);

/// Load of a cell per rank of the plan, all passes of a step: {"ranks", "mean", "charts": [...]},
/// with a "note" when the plan has no comparable baselines, or {"missing": sentence} when it has no
/// stored loads.
[[nodiscard]] Json LoadJson(const Plan& plan, const PlanCell& cell);

/// Adds "baselines" (gains; of a family the headline first) and "missing_baselines".
void AddGains(const ReportInputs& inputs,
              std::size_t plan_index,
              const std::vector<CompareDocument>& compares,
              Json& verdict);
/// [{"topic", "text"}]: answer, run, why (where the plan stores what it needs), left, sure, next.
[[nodiscard]] Json SentencesJson(const ReportInputs& inputs,
                                 const PlanInput& plan,
                                 const Json& verdict);
/// [{"kind", "family", "label", "total_ms", ...}]: where the time goes, per strategy, the slowest
/// first and the plan last. requires verdict["headline"] and verdict["baselines"]
[[nodiscard]] Json LadderJson(const ReportInputs& inputs,
                              std::size_t plan_index,
                              const std::vector<CompareDocument>& compares,
                              const Json& verdict);
[[nodiscard]] Json VerdictJson(const ReportInputs& inputs,
                               std::size_t plan_index,
                               const std::vector<CompareDocument>& compares);
/// [{"base", "other", "rule", "total", "counts", "rows", ...}]: the first plan against every other
/// plan that was given, and against stored ones of the same workload and costs.
[[nodiscard]] Json ComparisonsJson(const ReportInputs& inputs, const ReportLimits& limits);
/// [{"name", "plan", "value", "sql"}]: SQL for the database; empty without one. `value` is the
/// number that the query gives, or null for one that gives a table. requires the document's "plans"
[[nodiscard]] Json QueriesJson(const ReportInputs& inputs, const Json& plans);
/// {"known", "notes", "fits", "close_calls"}: what the tuner stored in the plan.
[[nodiscard]] Json TuningJson(const Plan& plan);
/// The masks of one cell, who computes their heads and rows, and their blocks as base64 text; or
/// {"missing": sentence} when they cannot be made.
[[nodiscard]] Json MasksJson(const PlanInput& plan, const ReportLimits& limits);
[[nodiscard]] Json PlanNotices(const ReportInputs& inputs, const PlanInput& plan);

}  // namespace dbsp::reports
