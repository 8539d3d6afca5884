// SPDX-License-Identifier: Apache-2.0
// The exact lists behind LayerVolumes: which block of which tensor goes where, in which order, and
// what each rank computes at each ring step. Replay runs these lists.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

enum class Tensor : std::uint8_t { kQ, kK, kV, kO };

/// One block of one head of one tensor: block * block.q (Q, O) or block * block.k (K, V) tokens on.
struct BlockItem {
  Tensor tensor = Tensor::kQ;
  int head = 0;
  int block = 0;
  auto operator<=>(const BlockItem&) const = default;
};

/// items[src * ranks + dst]: ordered by tensor, head, block; local copies on the diagonal. The
/// sender packs and the receiver unpacks in this order. With allgather and needed a K or V block
/// may stand in several lists of its home, with needed also in none.
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
  /// Ascending heads, of all groups the rank is in. A ring rank lists every head of its group, with
  /// no rows where it has none (fewer blocks than ranks): the K/V it holds must still be passed on.
  /// A row without a key is listed like any other (its O is zero and goes home), also where needed
  /// leaves the head no column.
  std::vector<HeadRows> heads;
  std::vector<std::vector<HeadColumns>> columns;  ///< [steps] same heads as `heads`
  int ring_next = -1;  ///< rank it receives K/V from at every hop
  int ring_prev = -1;  ///< rank it sends K/V to
};

/// Which ranks get a K/V block before attention: the computing rank (alltoall), the ring index that
/// owns the column (ring), every rank of the group (allgather), or every rank with a row that keeps
/// the column (needed). Ring of R ranks, ring index i, step t: K/V of ring index (i + t) mod R are
/// at hand (db-SP, planner.md), so K/V move from i + 1 to i.
struct Schedule {
  int ranks = 1;
  int steps = 1;
  std::vector<ExchangeRound> before;  ///< Q, K, V
  std::vector<ExchangeRound> after;  ///< O
  std::vector<RankSchedule> rank;  ///< [ranks]
  /// [heads] with chunks: before[c], after[c] and step c are of the heads of chunk c alone; other
  /// heads have no column at step c. Empty without chunks.
  std::vector<int> chunk_of_head;
};

/// Lists of one layer; the same preconditions as BuildLayerVolumes.
[[nodiscard]] Schedule BuildSchedule(const AttentionShape& shape,
                                     const LayerMasks& masks,
                                     const Partition& partition,
                                     const Strategy& strategy,
                                     const HomeLayout& home);

/// The lists of one chunk, heads renumbered as in `layer`: the inverse of how
/// BuildSchedule joins chunks.
/// returns  an empty string, or what in the lists does not belong to the chunk
[[nodiscard]] std::string TakeChunk(const Schedule& schedule,
                                    int chunk,
                                    const std::vector<int>& heads,
                                    Schedule& out);

}  // namespace dbsp::planner
