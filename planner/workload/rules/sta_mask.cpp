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

namespace {

/// Tiles [begin, end) of one axis.
struct Tiles {
  int begin;
  int end;
};

/// Active key tiles of query tile `q`, as StaKeeps.
Tiles KeptTiles(int q, int n, int k) {
  const int half = k / 2;
  const int centre = std::min(std::max(q, half), n - 1 - half);
  return {std::clamp(centre - half, 0, n), std::clamp(centre + half + 1, 0, n)};
}

}  // namespace

BlockMask StaMask(const Grid& tiles, StaWindow window, std::int64_t text_tokens, BlockSize block) {
  const auto count = static_cast<int>(tiles.tokens());
  const AttentionShape shape{
      1, 1, static_cast<std::int64_t>(count) * kStaTileTokens + text_tokens, block};
  const int q_per_tile = kStaTileTokens / block.q;
  const int k_per_tile = kStaTileTokens / block.k;
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  const int plane = tiles.height * tiles.width;
  for (int q = 0; q < count; ++q) {
    const int first = q * q_per_tile;
    const Tiles frames = KeptTiles(q / plane, tiles.frames, window.frames);
    const Tiles rows = KeptTiles(q % plane / tiles.width, tiles.height, window.height);
    const Tiles cols = KeptTiles(q % tiles.width, tiles.width, window.width);
    for (int f = frames.begin; f < frames.end; ++f) {
      if (cols.begin == 0 && cols.end == tiles.width) {  // whole rows follow each other
        const int begin = f * plane + rows.begin * tiles.width;
        const int end = f * plane + rows.end * tiles.width;
        mask.SetRange(first, begin * k_per_tile, end * k_per_tile);
        continue;
      }
      for (int r = rows.begin; r < rows.end; ++r) {
        const int row = f * plane + r * tiles.width;
        mask.SetRange(first, (row + cols.begin) * k_per_tile, (row + cols.end) * k_per_tile);
      }
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
