// SPDX-License-Identifier: Apache-2.0
// Checks that the lists of one layer compute exact attention, by following every item.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/status.h"
#include "planner/timeline/schedule.h"

namespace dbsp::planner {

/// Checks that ranks which follow the lists compute exact attention:
///   - Every Q, K and V block starts on its home rank. A rank sends only blocks that it has.
///   - A Q or O block is on one rank at a time. A K or V block goes to the ranks that use it and to
///     no others.
///   - Every (head, row) is computed on exactly one rank.
///   - Every active block is computed exactly once, in a ring step in which the rank has its K and
///     V.
///   - Every O block returns to its home rank.
/// The check does not use the code that made the lists.
/// requires masks and home fit the shape
/// returns  ok, or the first rule that the lists break, with rank, head and block
[[nodiscard]] Status CheckSchedule(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const HomeLayout& home,
                                   const Schedule& schedule);

}  // namespace dbsp::planner
