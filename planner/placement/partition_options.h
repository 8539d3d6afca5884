// SPDX-License-Identifier: Apache-2.0
// Options of the partitioners of every family.
#pragma once

#include <cstdint>

#include "core/shape.h"

namespace dbsp::planner {

class MaskSums;

/// Options of the partitioners; the defaults are the families' own.
struct PartitionOptions {
  /// db-SP's reward Rb: how much a block's key is lowered at home (notes: 2 in its scripts).
  double dbsp_reward = 2.0;
  /// balanced: what moving one row or column of one head off its rank costs, in active blocks of a
  /// rank's time: MovePrice() where there are costs.
  double move_price = 0.01;
  /// placed, balanced: what a row with an active block costs beside its blocks, in blocks:
  /// RowPrice() where there are costs. Ranks are then even in rows and blocks together.
  double row_price = 0;
  /// balanced: exchanges its search looks at from each start of a head group's cells.
  std::int64_t balanced_scans = 400000;
  /// placed: placements that the first run of its search for less traffic looks at
  /// (planner/placement/placed.h).
  int placed_scans = 1000;
  /// placed: bytes a rank may hold (planner/timeline/peak_bytes.h), 0 = any number, at `dtype`.
  std::int64_t memory_per_rank = 0;
  DType dtype = DType::kBf16;
  /// Head chunks whose exchanges overlap attention (planner/timeline/chunks.h).
  int chunks = 1;
  /// dbsp: sums of the same masks, where the caller has them (planner/workload/mask_counts.h).
  MaskSums* sums = nullptr;
};

}  // namespace dbsp::planner
