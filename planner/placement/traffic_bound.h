// SPDX-License-Identifier: Apache-2.0
// Lower bound on the traffic of the busiest rank over all placements of a layer, computed from the
// masks. It shows how far a search is from the optimum. It takes up to seconds, so no search uses
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

/// Least number of columns that any n rows of the mask need, for n from 0 to all rows. The union of
/// sets A_i has at least sum_i |A_i|^2 / sum_j |A_i and A_j| elements (de Caen 1997); the rows that
/// minimize this sum are taken. A column that more rows need than are left out is needed, too.
/// Exact for one row and for all rows.
/// returns  [rows + 1], not descending
[[nodiscard]] std::vector<std::int64_t> LeastColumns(const BlockMask& mask);

/// Lower bound on the traffic of the busiest rank, in TrafficOf's units, over all placements of
/// (head, row) pairs in which no rank computes more than `limit` active blocks.
/// Mean     A part of n rows on a rank fetches at least LeastColumns of the columns whose home is
///          another rank, and Q of the rows beyond its own. O of its own rows does not come back.
///          Each head is divided into the parts with the least total, each on the rank where it is
///          least and none above the limit. The sum over heads is what all ranks receive together.
/// Wholes   A rank with a part receives more for the same heads than a rank with whole heads only,
///          and whole heads have few different sums. If a head exceeds the limit, some rank has a
///          part of it with at least rows / ranks rows. The bound is the least traffic at which all
///          ranks together can take all heads.
/// shape    row_home[rows], col_home[cols]; masks of that shape, at least one
/// requires limit * ranks >= active blocks
[[nodiscard]] double MaxTrafficLowerBound(const LayerMasks& masks,
                                          std::span<const int> row_home,
                                          std::span<const int> col_home,
                                          int ranks,
                                          double limit);

}  // namespace dbsp::planner
