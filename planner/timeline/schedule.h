// SPDX-License-Identifier: Apache-2.0
// The exact lists behind LayerVolumes: which block of which tensor goes where and in which order,
// and what each rank computes at each ring step. Replay runs these lists.
#pragma once

#include <cstdint>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/status.h"
#include "core/strategy.h"

namespace dbsp::planner {

enum class Tensor : std::uint8_t { kQ, kK, kV, kO };

/// One block of one head of one tensor. It begins at token block * block.q (Q, O) or block *
/// block.k (K, V).
struct BlockItem {
  Tensor tensor = Tensor::kQ;
  int head = 0;
  int block = 0;
  auto operator<=>(const BlockItem&) const = default;
};

/// items[src * ranks + dst], sorted by tensor, head and block. The diagonal holds local copies. The
/// sender packs and the receiver unpacks in this order. With allgather and needed a K or V block
/// may be in several lists of its home, with needed also in none.
struct ExchangeRound {
  std::vector<std::vector<BlockItem>> items;
};

/// Rows of one head that a rank computes.
struct HeadRows {
  int head = 0;
  std::vector<int> rows;  ///< query blocks, ascending
};

/// K/V blocks of one head present on a rank at one ring step.
struct HeadColumns {
  int head = 0;
  std::vector<int> cols;  ///< key blocks, ascending
};

struct RankSchedule {
  /// Ascending heads of all groups of the rank. A ring rank lists every head of its group, even if
  /// it computes no row of it (fewer blocks than ranks), because it must pass the K/V on. A row
  /// without an active block is listed like any other, because its O, which is zero, goes home.
  /// This also holds if exchange needed brings no column of the head.
  std::vector<HeadRows> heads;
  std::vector<std::vector<HeadColumns>> columns;  ///< [steps][heads], heads as in `heads`
  int ring_next = -1;  ///< rank that sends it K/V at every hop
  int ring_prev = -1;  ///< rank that receives its K/V
};

/// Which ranks receive a K/V block before attention: the computing rank (alltoall), the ring index
/// that owns the column (ring), every rank of the group (allgather), or every rank with a row that
/// needs the column (needed). In a ring of R ranks, ring index i holds the K/V of ring index (i +
/// t) mod R at step t, so K/V move from i + 1 to i.
struct Schedule {
  int ranks = 1;
  int steps = 1;
  std::vector<ExchangeRound> before;  ///< Q, K, V
  std::vector<ExchangeRound> after;  ///< O
  std::vector<RankSchedule> rank;  ///< [ranks]
  /// [heads] chunk of every head. before[c], after[c] and step c belong to chunk c; at step c the
  /// heads of other chunks have no column. Empty without chunks.
  std::vector<int> chunk_of_head;
};

/// Lists of one layer. Arguments and errors as BuildLayerVolumes.
[[nodiscard]] Schedule BuildSchedule(const AttentionShape& shape,
                                     const LayerMasks& masks,
                                     const Partition& partition,
                                     const Strategy& strategy,
                                     const HomeLayout& home);

/// The lists of one chunk with heads numbered as in `heads`: the inverse of joining chunks in
/// BuildSchedule.
/// returns  ok, or what is wrong with an entry that does not belong to the chunk
[[nodiscard]] Status TakeChunk(const Schedule& schedule,
                               int chunk,
                               const std::vector<int>& heads,
                               Schedule& out);

}  // namespace dbsp::planner
