// SPDX-License-Identifier: Apache-2.0
// The mask without the rule and its options, for builds without the planner's libraries.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "planner/workload/rules/radial.h"

namespace dbsp::planner {
namespace {

// The reference uses this length to drop distant pairs of frames, for every block size.
constexpr double kDropLength = 128;

int BitLength(std::int64_t value) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value)));
}

/// Half-width of the band between frames i and j, in tokens; std::nullopt for a dropped pair.
std::optional<std::int64_t> HalfWidth(int i,
                                      int j,
                                      std::int64_t frame_tokens,
                                      const RadialOptions& options) {
  if (options.sink && j == 0) return frame_tokens;
  const int distance = std::abs(i - j);
  const double length = std::ldexp(1.0, BitLength(frame_tokens) - BitLength(distance));
  if (length < kDropLength && distance % static_cast<int>(kDropLength / length) != 0) {
    return std::nullopt;
  }
  if (distance <= 1) return frame_tokens;
  const double width = std::max<double>(options.block, options.decay * length);
  return static_cast<std::int64_t>(std::min(width, static_cast<double>(frame_tokens)));
}

/// Tokens [begin, end) of a frame, counted from the frame's first token.
struct Span {
  std::int64_t begin;
  std::int64_t end;
  [[nodiscard]] bool empty() const { return begin >= end; }
};

/// Whether a block is active: of its columns that intersect the band |column - row| <= width, more
/// than 3/5 have more than block / 3 rows in it.
bool BlockIsActive(Span rows, Span cols, std::int64_t width, int block) {
  if (rows.empty() || cols.empty()) return false;
  const std::int64_t nearest = std::max(rows.begin - (cols.end - 1), cols.begin - (rows.end - 1));
  if (nearest > width) return false;
  const std::int64_t farthest = std::max(rows.end - 1 - cols.begin, cols.end - 1 - rows.begin);
  if (farthest <= width) return 3 * (rows.end - rows.begin) > block;
  std::int64_t filled = 0;
  std::int64_t high = 0;
  for (std::int64_t c = cols.begin; c < cols.end; ++c) {
    const std::int64_t count = std::min(rows.end, c + width + 1) - std::max(rows.begin, c - width);
    filled += count > 0 ? 1 : 0;
    high += 3 * count > block ? 1 : 0;
  }
  return 5 * high > 3 * filled;
}

/// Adds the active blocks of frame pair (i, j).
void AddPair(
    int i, int j, std::int64_t frame_tokens, std::int64_t width, int block, BlockMask& mask) {
  const std::int64_t row_start = i * frame_tokens;
  const std::int64_t col_start = j * frame_tokens;
  const auto blocks = static_cast<int>((frame_tokens + block - 1) / block);
  const auto span = [&](std::int64_t start, int b) {
    const std::int64_t begin = static_cast<std::int64_t>(b) * block - start % block;
    return Span{std::max<std::int64_t>(begin, 0), std::min(begin + block, frame_tokens)};
  };
  for (int bi = 0; bi < blocks; ++bi) {
    for (int bj = 0; bj < blocks; ++bj) {
      if (!BlockIsActive(span(row_start, bi), span(col_start, bj), width, block)) continue;
      mask.Set(static_cast<int>(row_start / block) + bi, static_cast<int>(col_start / block) + bj);
    }
  }
}

}  // namespace

BlockMask RadialMask(const Grid& grid, std::int64_t text_tokens, const RadialOptions& options) {
  const std::int64_t frame_tokens = static_cast<std::int64_t>(grid.height) * grid.width;
  const std::int64_t video = grid.tokens();
  const int block = options.block;
  const auto blocks = static_cast<int>((video + text_tokens + block - 1) / block);
  const auto video_blocks = static_cast<int>(video / block);
  BlockMask mask(blocks, blocks);
  for (int i = 0; i < grid.frames; ++i) {
    for (int j = 0; j < grid.frames; ++j) {
      const auto width = HalfWidth(i, j, frame_tokens, options);
      if (width) AddPair(i, j, frame_tokens, *width, block, mask);
    }
  }
  for (int i = 0; i < blocks; ++i) mask.SetRange(i, i < video_blocks ? video_blocks : 0, blocks);
  return mask;
}

}  // namespace dbsp::planner
