// SPDX-License-Identifier: Apache-2.0
// What one search looks at: every candidate of every cfg degree, and the token layouts they name.
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
  std::vector<int> cfg_degrees = {1};  ///< rising
  CandidateOptions variants;  ///< its layouts and cfg degree are set here
  std::string layout = "auto";  ///< as ChooseLayouts()
  std::string kernel;
};

struct SearchSpace {
  std::vector<Candidate> candidates;  ///< by cfg degree
  std::vector<TokenLayout> layouts;  ///< "given" first; for SearchOptions::layouts
};

/// Candidates of one cfg degree after the other. A degree has the layouts that suit the ranks of
/// its pass groups (ChooseLayouts); a layout that suits several is one.
/// requires options.layouts is {"given"}; every cfg degree divides options.ranks
/// errors   as MakeCandidates and ChooseLayouts
[[nodiscard]] SearchSpace MakeSearchSpace(const SpaceRequest& request,
                                          const Workload& workload,
                                          planner::MaskSource& masks,
                                          const planner::Costs& costs,
                                          const SearchOptions& options);

}  // namespace dbsp::tuner
