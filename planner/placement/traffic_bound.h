// SPDX-License-Identifier: Apache-2.0
// What no placement of a layer can do without: a bound on the traffic of its busiest rank, from the
// masks themselves. It says how much a search leaves, and takes up to seconds: no search waits for
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

/// Columns that any n rows of the mask need at least, for n from 0 to all rows. The union of sets
/// has at least sum of |A_i|^2 / sum_j |A_i and A_j| elements (de Caen 1997); of the rows those are
/// taken that make it least. A column that more rows keep than are left is needed, too. Exact for
/// one row and for all.
/// returns  [rows + 1], rising
[[nodiscard]] std::vector<std::int64_t> LeastColumns(const BlockMask& mask);

/// Traffic of the busiest rank, in TrafficOf's units, that no placement of (head, row) pairs has
/// less of as long as no rank computes more than `limit` active blocks.
/// Mean     a part of n rows on a rank fetches what any n rows need at least (LeastColumns) of the
///          columns that are at home elsewhere, and Q of the rows beyond its own; O of its own rows
///          does not come back. Every head in the parts that cost least, on the rank where they do,
///          none above the limit, is what all ranks receive together.
/// Wholes   a rank with a part receives more for the same heads than one with whole heads, whose
///          sums are few. Where a head is above the limit some rank has a part of it of at least
///          rows / ranks rows. The bound is the least that lets all ranks together take all heads.
/// shape    row_home[rows], col_home[cols]; masks of that shape, at least one
/// requires limit * ranks >= active blocks
[[nodiscard]] double MaxTrafficLowerBound(const LayerMasks& masks,
                                          std::span<const int> row_home,
                                          std::span<const int> col_home,
                                          int ranks,
                                          double limit);

}  // namespace dbsp::planner
