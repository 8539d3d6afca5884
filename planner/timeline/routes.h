// SPDX-License-Identifier: Apache-2.0
// Routing that volumes (layer_volumes) and lists (schedule) share: the ring of a rank, the rounds
// of an exchange, and the ranks that an item passes. Internal to planner/timeline.
#pragma once

#include <cstddef>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"
#include "core/strategy.h"

namespace dbsp::planner {

struct Routes {
  Exchange exchange = Exchange::kAllToAll;
  int steps = 1;
  /// Family dbsp with U > 1 and R > 1 exchanges in two rounds, as its runtime does: heads among the
  /// U ranks of a ring index, then blocks among the R ranks of a group, and back in the opposite
  /// order. It does so only with exchange ring; allgather and needed take one round each way.
  bool two_rounds = false;
  int ulysses = 1;
  std::vector<int> ring_next;  ///< [rank] rank that sends it K/V, -1 without a ring
  std::vector<int> ring_prev;  ///< [rank] rank that receives its K/V, -1 without a ring
  std::vector<int> home_q;  ///< [q_blocks] home rank
  std::vector<int> home_k;  ///< [k_blocks] home rank

  /// Rank that holds an item between the two rounds: ring index of the home, place of the group.
  [[nodiscard]] int Middle(int home, int group) const { return home / ulysses * ulysses + group; }
};

/// errors  Error{kInvalidArgument} if masks, partition, strategy and home layout do not agree, or
///         if the strategy has head chunks and a ring
[[nodiscard]] Routes MakeRoutes(const AttentionShape& shape,
                                const LayerMasks& masks,
                                const Partition& partition,
                                const Strategy& strategy,
                                const HomeLayout& home);

/// Rank that computes row `row` of the group's heads.
[[nodiscard]] inline int RowRank(const HeadGroup& group, int row) {
  return group.ranks.size() == 1 ? group.ranks[0] : group.ranks[group.row_owner[row]];
}

/// Whether ring index `index` of the group receives column `col` before attention, if masks do not
/// matter. requires an exchange other than needed
[[nodiscard]] inline bool GetsColumn(const Routes& routes,
                                     const HeadGroup& group,
                                     std::size_t index,
                                     int col) {
  return routes.exchange == Exchange::kAllGather || group.ranks.size() == 1 ||
         group.col_owner[col] == static_cast<int>(index);
}

}  // namespace dbsp::planner
