// SPDX-License-Identifier: Apache-2.0
// Which static token layout is worth a search.
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

/// Layouts for SearchOptions::layouts. "given": that alone. A name of planner::MakeLayout: it
/// beside "given". "auto": of planner::LayoutNames for the ranks of a pass group the one under
/// which the candidates that a layout makes a difference to (rows in contiguous parts, K/V round a
/// ring) cost least, on a few of the workload's own cells; "given" alone where none of those beats
/// whole heads by kLeastGain there.
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
