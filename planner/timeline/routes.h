// SPDX-License-Identifier: Apache-2.0
// What amounts (layer_work) and lists (schedule) have in common: which ring a rank is in, how many
// rounds an exchange takes and which ranks an item passes. Not for other modules.
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
  /// dbsp with U, R > 1, as its runtime does it: heads inside the U ranks of a ring index, then
  /// blocks inside the R ranks of a group, and back in the opposite order. Only with its own
  /// exchange, ring: allgather and needed take one round each way.
  bool two_rounds = false;
  int ulysses = 1;
  std::vector<int> ring_next;  ///< [rank] -1 without a ring
  std::vector<int> ring_prev;
  std::vector<int> home_q;  ///< [q_blocks] home rank
  std::vector<int> home_k;  ///< [k_blocks]

  /// Rank that holds an item between the two rounds: the home's ring index, the group's place.
  [[nodiscard]] int Middle(int home, int group) const { return home / ulysses * ulysses + group; }
};

/// errors  Error{kInvalidArgument} when masks, partition, strategy and home layout do not agree or
///         the strategy asks for head chunks with a ring
[[nodiscard]] Routes MakeRoutes(const AttentionShape& shape,
                                const LayerMasks& masks,
                                const Partition& partition,
                                const Strategy& strategy,
                                const HomeLayout& home);

/// Rank that computes row `row` of the group's heads.
[[nodiscard]] inline int RowRank(const HeadGroup& group, int row) {
  return group.ranks.size() == 1 ? group.ranks[0] : group.ranks[group.row_owner[row]];
}

/// Whether ring index `index` of the group gets column `col` before attention, where no mask
/// decides. requires an exchange that is not needed
[[nodiscard]] inline bool GetsColumn(const Routes& routes,
                                     const HeadGroup& group,
                                     std::size_t index,
                                     int col) {
  return routes.exchange == Exchange::kAllGather || group.ranks.size() == 1 ||
         group.col_owner[col] == static_cast<int>(index);
}

}  // namespace dbsp::planner
