// SPDX-License-Identifier: Apache-2.0
// db-SP's sparse imbalance ratio of a partition.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"

namespace dbsp::planner {

/// Sparse imbalance ratio of db-SP (notes/dbsp.md): per group k, cells c[i][j] = active blocks of
/// its rows with owner i and columns with owner j; rho = max_k sum_t max_i c[k][i][(i+t) mod R] /
/// (total / ranks). 1 when nothing is kept. For groups of one rank that share ranks (placed), the
/// numerator is the heaviest rank's total.
[[nodiscard]] double BarrierRho(const LayerMasks& masks, const Partition& partition);

/// Numerator and mean of BarrierRho: sums over cells give the workload's rho.
struct BarrierLoad {
  double barrier = 0;  ///< max_k sum_t max_i c
  double mean = 0;  ///< total / ranks
};
[[nodiscard]] BarrierLoad BarrierLoadOf(const LayerMasks& masks, const Partition& partition);

}  // namespace dbsp::planner
