// SPDX-License-Identifier: Apache-2.0
// Choice of the cells that run the plan of an earlier step.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "planner/workload/mask_source.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Plan that a cell runs.
struct CellUse {
  int plan_class = 0;  ///< class whose strategy and partition the cell runs
  /// Prediction of that plan on the masks of the cell; empty when the plan is that of its own
  /// class.
  std::optional<Prediction> prediction;
};

/// Applies planner::ReuseRule with options.replan_ns to every layer, steps in order. The rule
/// compares the predicted times of the plan in use and of the step's own plan, both on the masks of
/// the step. With replan_ns = 0 every cell runs the plan of its own class.
/// shape    planned[class], own plans; returns one entry per entry of result.cells
/// errors   whatever MaskSource::At throws
/// threads  starts options.threads threads
[[nodiscard]] std::vector<CellUse> ChooseReuse(planner::MaskSource& masks,
                                               const planner::Costs& costs,
                                               const SearchResult& result,
                                               std::span<const CellPlan> planned,
                                               const SearchOptions& options);

}  // namespace dbsp::tuner
