// SPDX-License-Identifier: Apache-2.0
// Options of the partitions of all families.
#pragma once

#include <cstdint>

#include "core/shape.h"

namespace dbsp::planner {

class LayerCounts;

/// The defaults are those of the families.
struct PartitionOptions {
  /// dbsp: reward Rb, by which a block's key is lowered at home. db-SP's scripts use 2.
  double dbsp_reward = 2.0;
  /// balanced: cost of moving one row or column of one head off its rank, in active blocks of a
  /// rank's time. MovePrice() gives it from a cost model.
  double move_price = 0.01;
  /// placed, balanced: cost of a row with an active block beside its blocks, in blocks. RowPrice()
  /// gives it from a cost model. Ranks are then even in the sum of rows and blocks.
  double row_price = 0;
  /// balanced: exchanges that the search evaluates from each start of a head group's cells.
  std::int64_t balanced_scans = 400000;
  /// placed: placements that the first run of the search for less traffic evaluates.
  int placed_scans = 1000;
  /// placed: bytes that a rank may hold (planner/timeline/peak_bytes.h) at `dtype`; 0 means no
  /// limit.
  std::int64_t memory_per_rank = 0;
  DType dtype = DType::kBf16;
  /// Head chunks, whose exchanges overlap attention (planner/timeline/chunks.h).
  int chunks = 1;
  /// Counts of the masks if the caller has them (planner/workload/layer_counts.h).
  const LayerCounts* counts = nullptr;
};

}  // namespace dbsp::planner
