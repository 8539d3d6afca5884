// SPDX-License-Identifier: Apache-2.0
// From a search's choices to a plan.
#pragma once

#include <filesystem>
#include <string>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Where the costs come from and who made the plan.
struct PlanOrigin {
  std::string database_hash;  ///< "" when the costs are analytic
  std::string cluster;  ///< "" when they come from a database
  std::string device;
  std::string generator;
};

/// Folder `to` as seen from folder `from`, with '/' between names; "." when they are the same.
[[nodiscard]] std::string RelativeFolder(const std::filesystem::path& from,
                                         const std::filesystem::path& to);

/// The plan of the chosen strategies. Partitions and strategies that are equal are stored once;
/// cells of one class share a prediction. Every class is planned again from its masks, and must
/// give the total it was chosen for. Every class that is planned has its contract; with
/// options.replan_ns, cells keep earlier steps' plans (tuner/reuse.h).
/// errors  whatever MaskSource::At throws; Error{kInternal} when a total differs
[[nodiscard]] Plan MakePlan(const Workload& workload,
                            planner::MaskSource& masks,
                            const planner::Costs& costs,
                            const SearchResult& result,
                            const SearchOptions& options,
                            const PlanOrigin& origin);

}  // namespace dbsp::tuner
