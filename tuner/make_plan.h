// SPDX-License-Identifier: Apache-2.0
// Makes a plan of a search's choices.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/baselines.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Origin of a plan: its costs and its generator, and what it is compared with.
struct PlanOrigin {
  std::string database_hash;  ///< "" when the costs are analytic
  std::string cluster;  ///< "" when they come from a database
  std::string device;
  std::string generator;
  std::vector<CostFit> fits = {};  ///< models behind the costs
  std::vector<PricedBaseline> baselines = {};  ///< of the same search; empty: the plan has no times
};

/// Path of folder `to` relative to folder `from`, with '/' between names; "." when they are equal.
[[nodiscard]] std::string RelativeFolder(const std::filesystem::path& from,
                                         const std::filesystem::path& to);

/// The plan of the chosen strategies. Equal partitions and equal strategies are stored once, and
/// cells of one class share a prediction. Every class is planned again from its masks; the total
/// must equal that of the search. With options.replan_ns, cells may run the plan of an earlier step
/// (tuner/reuse.h). Every class whose plan is used has a contract. The loads of plain ulysses and
/// ring and their times are stored as the plan's baselines, and every close call with its rival.
/// errors  whatever MaskSource::At throws; Error{kInternal} when a total differs
[[nodiscard]] Plan MakePlan(const Workload& workload,
                            planner::MaskSource& masks,
                            const planner::Costs& costs,
                            const SearchResult& result,
                            const SearchOptions& options,
                            const PlanOrigin& origin);

}  // namespace dbsp::tuner
