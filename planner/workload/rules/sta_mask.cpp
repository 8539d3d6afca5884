// SPDX-License-Identifier: Apache-2.0
// The mask without the rule and its options, for builds without the planner's libraries.
#include <algorithm>
#include <cstdlib>

#include "planner/workload/rules/sta.h"

namespace dbsp::planner {

bool StaKeeps(int q, int kv, int n, int k) {
  const int half = k / 2;
  const int centre = std::min(std::max(q, half), n - 1 - half);
  return std::abs(centre - kv) <= half;
}

BlockMask StaMask(const Grid& tiles, StaWindow window, std::int64_t text_tokens, BlockSize block) {
  const auto count = static_cast<int>(tiles.tokens());
  const AttentionShape shape{
      1, 1, static_cast<std::int64_t>(count) * kStaTileTokens + text_tokens, block};
  const int q_per_tile = kStaTileTokens / block.q;
  const int k_per_tile = kStaTileTokens / block.k;
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  const auto keeps = [&](int a, int b) {
    const int plane = tiles.height * tiles.width;
    return StaKeeps(a / plane, b / plane, tiles.frames, window.frames) &&
           StaKeeps(
               a % plane / tiles.width, b % plane / tiles.width, tiles.height, window.height) &&
           StaKeeps(a % tiles.width, b % tiles.width, tiles.width, window.width);
  };
  for (int q = 0; q < count; ++q) {
    const int first = q * q_per_tile;
    for (int kv = 0; kv < count; ++kv) {
      if (keeps(q, kv)) mask.SetRange(first, kv * k_per_tile, (kv + 1) * k_per_tile);
    }
    mask.SetRange(first, count * k_per_tile, mask.cols());
    for (int i = first + 1; i < first + q_per_tile; ++i) {
      std::copy(mask.row(first).begin(), mask.row(first).end(), mask.mutable_row(i).begin());
    }
  }
  for (int i = count * q_per_tile; i < mask.rows(); ++i) mask.SetRange(i, 0, mask.cols());
  return mask;
}

}  // namespace dbsp::planner
