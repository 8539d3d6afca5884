// SPDX-License-Identifier: Apache-2.0
// Partitions of every family. Pure: the same input gives the same partition on every machine.
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

/// (U, R) pairs of a family on `ranks` ranks, in order of rising ring degree:
/// ulysses (P,1); ring (1,P); usp, dbsp, balanced every U * R = P. dbsp needs U <= heads. placed
/// (P,1), as its heads begin whole; each then has its own degree.
[[nodiscard]] std::vector<std::pair<int, int>> DegreesOf(Family family, int ranks, int heads);

/// Exchange a family uses at these degrees: needed for placed, else alltoall when R = 1 and ring
/// otherwise.
[[nodiscard]] Exchange ExchangeOf(Family family, int ring_degree);

/// The partition of `family` at (U, R) for these masks.
/// ulysses, usp  heads contiguous: head h to group floor(h * U / heads)
/// ring, usp     rows and columns stay on the ring rank that is their home
/// dbsp          notes/dbsp.md: greedy heads with equal counts, one greedy row and one greedy
///               column partition from the mask summed over all heads, reward Rb at home; equal
///               counts become ceil(n / parts) where n is not divisible
/// balanced      planner/placement/balanced.h: heads by search, rows and columns of each group by
/// search on
///               its own cells
/// placed        planner/placement/placed.h: whole heads by search, rows of few heads split
/// errors  Error{kInvalidArgument} for degrees that are not ranks' factors, or not the family's
[[nodiscard]] Partition MakePartition(Family family,
                                      const AttentionShape& shape,
                                      const LayerMasks& masks,
                                      int ranks,
                                      int ulysses_degree,
                                      int ring_degree,
                                      const HomeLayout& home,
                                      const PartitionOptions& options = {});

}  // namespace dbsp::planner
