// SPDX-License-Identifier: Apache-2.0
// Candidates of one search, of every cfg degree, and the token layouts that they refer to.
#pragma once

#include <string>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/candidates.h"
#include "tuner/search.h"

namespace dbsp::tuner {

struct SpaceRequest {
  std::vector<Family> families;
  std::vector<int> cfg_degrees = {1};  ///< ascending
  CandidateOptions variants;  ///< MakeSearchSpace() sets its layouts and cfg degree
  std::string layout = "auto";  ///< text for ChooseLayouts()
  std::string kernel;
};

struct SearchSpace {
  std::vector<Candidate> candidates;  ///< by cfg degree
  std::vector<TokenLayout> layouts;  ///< "given" first; for SearchOptions::layouts
};

/// Candidates of all cfg degrees, one degree after the other. ChooseLayouts() chooses the layouts
/// of every degree for the ranks of its pass groups; a layout of several degrees is listed once.
/// requires options.layouts is {"given"} only; every cfg degree divides options.ranks
/// errors   as MakeCandidates and ChooseLayouts
[[nodiscard]] SearchSpace MakeSearchSpace(const SpaceRequest& request,
                                          const Workload& workload,
                                          planner::MaskSource& masks,
                                          const planner::Costs& costs,
                                          const SearchOptions& options);

}  // namespace dbsp::tuner
