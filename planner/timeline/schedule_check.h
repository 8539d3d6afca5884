// SPDX-License-Identifier: Apache-2.0
// Checks that the lists of one layer compute exact attention, by following every item.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/status.h"
#include "planner/timeline/schedule.h"

namespace dbsp::planner {

/// Ok if following the lists gives exact attention; otherwise says what is wrong with them. Ok:
/// every Q, K and V block starts at home and is sent only by a rank that has it. Q and O are on one
/// rank at a time; K and V go to the ranks that use them and to no others. Every (head, row) is
/// computed on exactly one rank. Every active block is computed exactly once, at a ring step at
/// which its K and V are on the rank. Every O block returns home. The check does not use the code
/// that made the lists. requires masks and home fit the shape
[[nodiscard]] Status CheckSchedule(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const HomeLayout& home,
                                   const Schedule& schedule);

}  // namespace dbsp::planner
