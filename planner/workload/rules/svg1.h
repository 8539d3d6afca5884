// SPDX-License-Identifier: Apache-2.0
// Sparse-VideoGen 1: one band for every head, in the head's own token order.
#pragma once

#include <cstdint>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

/// What is active beside the band, and how its half-width is rounded to 128 tokens.
enum class Svg1Form : std::uint8_t {
  kFirstFrame,  ///< Wan: keys of frame 0; rounded up, half-width included
  kText,  ///< HunyuanVideo: text rows and columns; rounded down, half-width excluded
};

/// Largest |query - key| in the band, in tokens, for a density of `kept`.
/// requires frames >= 1, 0 < kept <= 1
/// errors   Error{kInvalidArgument} if the text alone exceeds `kept`
[[nodiscard]] std::int64_t Svg1Reach(const Grid& grid,
                                     std::int64_t text_tokens,
                                     double kept,
                                     Svg1Form form);

/// Mask of the blocks with at least one active (query, key) pair.
[[nodiscard]] BlockMask Svg1Mask(
    const Grid& grid, std::int64_t text_tokens, double kept, Svg1Form form, BlockSize block);

}  // namespace dbsp::planner
