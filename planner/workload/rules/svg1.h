// SPDX-License-Identifier: Apache-2.0
// Sparse-VideoGen, first version: one band for every head, in each head's own token order.
#pragma once

#include <cstdint>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

/// What is kept beside the band, and how its half-width is rounded to 128 tokens.
enum class Svg1Form : std::uint8_t {
  kFirstFrame,  ///< Wan: keys of frame 0; rounded up, the half-width itself kept
  kText,  ///< HunyuanVideo: text both ways; rounded down, the half-width itself not kept
};

/// Largest kept |query - key| in tokens for a kept fraction.
/// requires frames >= 1, 0 < kept <= 1
/// errors   Error{kInvalidArgument} when the text alone takes more than `kept`
[[nodiscard]] std::int64_t Svg1Reach(const Grid& grid,
                                     std::int64_t text_tokens,
                                     double kept,
                                     Svg1Form form);

/// Blocks that hold at least one kept (query, key) pair.
[[nodiscard]] BlockMask Svg1Mask(
    const Grid& grid, std::int64_t text_tokens, double kept, Svg1Form form, BlockSize block);

}  // namespace dbsp::planner
