// SPDX-License-Identifier: Apache-2.0
// Home of blocks in families with U x R ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "core/partition.h"

namespace dbsp::planner {

/// Ring index of the home rank of every block. Ranks are numbered ring_index * ulysses + group.
/// requires blocks of `block_tokens` tokens, the last of which begins inside the layout
[[nodiscard]] inline std::vector<int> HomeRing(int blocks,
                                               int block_tokens,
                                               const HomeLayout& home,
                                               int ulysses) {
  std::vector<int> ring(blocks);
  int rank = 0;
  for (int i = 0; i < blocks; ++i) {
    const std::int64_t token = static_cast<std::int64_t>(i) * block_tokens;
    while (rank + 1 < home.ranks() && home.begin[rank + 1] <= token) ++rank;
    ring[i] = rank / ulysses;
  }
  return ring;
}

}  // namespace dbsp::planner
