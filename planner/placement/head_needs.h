// SPDX-License-Identifier: Apache-2.0
// How many K/V blocks a rank would fetch for a part of a head, from a look at the masks.
#pragma once

#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

/// Part of all columns that a rank fetches for the rows at home on it and on the n - 1 ranks after
/// it: needed by one of them and at home on another rank. Mean over up to three ranks; of a
/// head's rows about 512 are looked at, evenly apart, so that it is an estimate from below.
/// shape    row_home[rows], col_home[cols] as everywhere
/// returns  [head * (ranks + 1) + n], n from 0 (0) to all ranks
[[nodiscard]] std::vector<double> NeedsOf(const LayerMasks& masks,
                                          std::span<const int> row_home,
                                          std::span<const int> col_home,
                                          int ranks);

}  // namespace dbsp::planner
