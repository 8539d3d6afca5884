// SPDX-License-Identifier: Apache-2.0
// Whether the lists of one layer compute exact attention, by following every item of them.
#pragma once

#include <string>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "planner/timeline/schedule.h"

namespace dbsp::planner {

/// What the lists do wrong, or "" when following them gives exact attention: every Q, K and V block
/// starts at home and is only sent by a rank that has it; Q and O have one place at a time, K and V
/// go to the ranks that use them and no others; every (head, row) is computed on exactly one rank;
/// every active block exactly once, at a ring step where its K/V are at hand; every O block comes
/// back home. Independent of how the lists were made. requires masks and home fit the shape
[[nodiscard]] std::string ScheduleProblem(const AttentionShape& shape,
                                          const LayerMasks& masks,
                                          const HomeLayout& home,
                                          const Schedule& schedule);

}  // namespace dbsp::planner
