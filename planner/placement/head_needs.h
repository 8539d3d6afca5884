// SPDX-License-Identifier: Apache-2.0
// Estimate of the K/V blocks that a rank fetches for a part of a head, sampled from the masks.
#pragma once

#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

/// Fraction of all columns that a rank fetches for the rows at home on it and on the next n - 1
/// ranks: columns that one of those rows needs and whose home is another rank. The value is the
/// mean over at most three starting ranks. About 512 evenly spaced rows of a head are sampled, so
/// it is an estimate from below.
/// shape    row_home[rows], col_home[cols]: home rank of every block
/// returns  [head * (ranks + 1) + n], n from 0 (value 0) to all ranks
[[nodiscard]] std::vector<double> NeedsOf(const LayerMasks& masks,
                                          std::span<const int> row_home,
                                          std::span<const int> col_home,
                                          int ranks);

}  // namespace dbsp::planner
