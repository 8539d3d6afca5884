// SPDX-License-Identifier: Apache-2.0
// Partitions of every family. Equal input gives equal partitions on every machine.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"
#include "planner/placement/partition_options.h"

namespace dbsp::planner {

/// (U, R) pairs of a family on `ranks` ranks, in the order of ascending ring degree. ulysses: (P,
/// 1). ring: (1, P). usp, dbsp and balanced: every U * R = P, dbsp only with U <= heads. placed:
/// (P, 1), because its heads start whole and each then has its own degree.
[[nodiscard]] std::vector<std::pair<int, int>> DegreesOf(Family family, int ranks, int heads);

/// UsualExchange() (core/strategy_name.h).
[[nodiscard]] Exchange ExchangeOf(Family family, int ring_degree);

/// The partition of `family` at (U, R) for these masks.
/// ulysses, usp  heads contiguous: head h in group floor(h * U / heads)
/// ring, usp     rows and columns stay on the ring index that is their home
/// dbsp          greedy heads with equal counts; one greedy partition of rows and one of columns,
///               from the sum of all heads' masks, with reward Rb at home. Equal counts become
///               ceil(n / parts) if n is not divisible.
/// balanced      planner/placement/balanced.h: heads by search; rows and columns of each group by
///               search on its own cells
/// placed        planner/placement/placed.h: whole heads by search, rows of few heads split
/// errors        Error{kInvalidArgument} for degrees that are not factors of the ranks or that the
///               family does not have
[[nodiscard]] Partition MakePartition(Family family,
                                      const AttentionShape& shape,
                                      const LayerMasks& masks,
                                      int ranks,
                                      int ulysses_degree,
                                      int ring_degree,
                                      const HomeLayout& home,
                                      const PartitionOptions& options = {});

}  // namespace dbsp::planner
