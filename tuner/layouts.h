// SPDX-License-Identifier: Apache-2.0
// Choice of the static token layouts that a search includes.
#pragma once

#include <string_view>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/candidates.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Layouts for SearchOptions::layouts.
///   "given"  the given order only
///   a name   of planner::MakeLayout: the given order and that layout
///   "auto"   the given order, and the best of planner::LayoutNames() for the ranks of a pass group
///            if it helps. Layouts are compared on a few cells of the workload by the fastest
///            candidate with rows in contiguous parts and a ring exchange. A layout helps when it
///            is faster by kMinGain than the given order and than ulysses.
/// requires options.layouts is {"given"}; ranges of options inside the workload; at least one
///          candidate, all of one cfg degree
/// errors   Error{kInvalidArgument} for an unknown name; whatever MaskSource::At throws
[[nodiscard]] std::vector<TokenLayout> ChooseLayouts(std::string_view text,
                                                     const Workload& workload,
                                                     planner::MaskSource& masks,
                                                     const planner::Costs& costs,
                                                     const std::vector<Candidate>& candidates,
                                                     const SearchOptions& options);

}  // namespace dbsp::tuner
