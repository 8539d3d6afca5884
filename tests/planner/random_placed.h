// SPDX-License-Identifier: Apache-2.0
// Random partitions for exchanges that send K/V once, before attention.
#pragma once

#include <algorithm>
#include <numeric>

#include "core/partition.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {

/// One group per split head, on ranks in any order, some of which may have no row. One group per
/// rank for whole heads; some have no head.
inline Partition MakeRandomPlaced(std::mt19937_64& random, const AttentionShape& shape, int ranks) {
  Partition partition{ranks, shape.heads, shape.q_blocks(), shape.k_blocks(), {}};
  std::vector<HeadGroup> whole(ranks);
  for (int rank = 0; rank < ranks; ++rank) whole[rank].ranks = {rank};
  for (int head = 0; head < shape.heads; ++head) {
    if (ranks == 1 || Draw(random, 0, 2) == 0) {
      whole[Draw(random, 0, ranks - 1)].heads.push_back(head);
      continue;
    }
    HeadGroup split;
    split.heads = {head};
    split.ranks.resize(ranks);
    std::iota(split.ranks.begin(), split.ranks.end(), 0);
    std::shuffle(split.ranks.begin(), split.ranks.end(), random);
    split.ranks.resize(Draw(random, 2, ranks));
    const int owners = static_cast<int>(split.ranks.size());
    for (int i = 0; i < partition.q_blocks; ++i) {
      split.row_owner.push_back(Draw(random, 0, owners - 1));
    }
    partition.groups.push_back(std::move(split));
  }
  for (HeadGroup& group : whole) {
    if (!group.heads.empty() || Draw(random, 0, 1) == 0) {
      partition.groups.push_back(std::move(group));
    }
  }
  return partition;
}

/// The same placement for allgather and needed, which have no column owners.
inline Partition WithoutColumns(Partition partition) {
  for (HeadGroup& group : partition.groups) group.col_owner.clear();
  return partition;
}

}  // namespace dbsp::planner
