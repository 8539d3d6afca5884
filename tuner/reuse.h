// SPDX-License-Identifier: Apache-2.0
// Which cells of a search keep the plan of an earlier step.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "planner/workload/mask_source.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Whose plan a cell runs.
struct CellUse {
  int plan_class = 0;  ///< class whose strategy and partition it uses
  std::optional<Prediction> prediction;  ///< of that plan on this cell's masks; absent on its own
};

/// Layer by layer, steps in order, planner::ReuseRule at options.replan_ns: predicted time of the
/// plan in use on the step's own masks against that of the step's own plan. With replan_ns = 0
/// every cell uses its own class.
/// shape    planned[class], own plans; returns [cell] as result.cells
/// errors   whatever MaskSource::At throws
/// threads  uses options.threads of its own
[[nodiscard]] std::vector<CellUse> ChooseReuse(planner::MaskSource& masks,
                                               const planner::Costs& costs,
                                               const SearchResult& result,
                                               std::span<const CellPlan> planned,
                                               const SearchOptions& options);

}  // namespace dbsp::tuner
