// SPDX-License-Identifier: Apache-2.0
// db-SP's sparse imbalance ratio (rho) of a partition.
#pragma once

#include "core/block_mask.h"
#include "core/partition.h"

namespace dbsp::planner {

/// Sparse imbalance ratio of db-SP. Cell c[k][i][j] holds the active blocks of group k in rows with
/// owner i and columns with owner j. With R ranks in the ring, rho = max_k sum_t max_i c[k][i][(i +
/// t) mod R] / (total / ranks). Groups of one rank may share a rank (family placed); the numerator
/// is then at least the heaviest rank's total. rho is 1 if no block is active.
[[nodiscard]] double BarrierRho(const LayerMasks& masks, const Partition& partition);

/// Numerator and denominator of BarrierRho. Their sums over cells give the rho of a workload.
struct BarrierLoad {
  double barrier = 0;  ///< max_k sum_t max_i c[k][i][(i + t) mod R]
  double mean = 0;  ///< total / ranks
};
[[nodiscard]] BarrierLoad BarrierLoadOf(const LayerMasks& masks, const Partition& partition);

}  // namespace dbsp::planner
