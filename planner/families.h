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

namespace dbsp::planner {

class MaskSums;

/// Options of the partitioners; the defaults are the families' own.
struct PartitionOptions {
  /// db-SP's reward Rb: how much a block's key is lowered at home (notes: 2 in its scripts).
  double dbsp_reward = 2.0;
  /// balanced: what moving one row or column of one head off its rank costs, in kept blocks of a
  /// rank's time: MovePrice() where there are costs.
  double move_price = 0.01;
  /// placed, balanced: what a row with a kept block costs beside its blocks, in blocks: RowPrice()
  /// where there are costs. Ranks are then even in rows and blocks together.
  double row_price = 0;
  /// balanced: exchanges its search looks at from each start of a head group's cells.
  std::int64_t balanced_scans = 400000;
  /// placed: placements that the first run of its search for less traffic looks at
  /// (planner/placed.h).
  int placed_scans = 1000;
  /// placed: bytes a rank may hold (planner/peak_bytes.h), 0 = any number, at `dtype`.
  std::int64_t memory_per_rank = 0;
  DType dtype = DType::kBf16;
  /// Head chunks whose exchanges overlap attention (planner/chunks.h).
  int chunks = 1;
  /// dbsp: sums of the same masks, where the caller has them (planner/mask_counts.h).
  MaskSums* sums = nullptr;
};

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
/// balanced      planner/balanced.h: heads by search, rows and columns of each group by search on
///               its own cells
/// placed        planner/placed.h: whole heads by search, rows of few heads split
/// errors  Error{kInvalidArgument} for degrees that are not ranks' factors, or not the family's
[[nodiscard]] Partition MakePartition(Family family,
                                      const AttentionShape& shape,
                                      const LayerMasks& masks,
                                      int ranks,
                                      int ulysses_degree,
                                      int ring_degree,
                                      const HomeLayout& home,
                                      const PartitionOptions& options = {});

/// Sparse imbalance ratio of db-SP (notes/dbsp.md): per group k, cells c[i][j] = kept blocks of
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
