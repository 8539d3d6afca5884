// SPDX-License-Identifier: Apache-2.0
// One static permutation of token blocks for a whole plan: applied once where tokens enter the
// model, undone where they leave it. Everything between sees tokens, masks and homes in the new
// order. Attention does not care, as long as position embeddings move with their tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/block_mask.h"
#include "core/plan.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Tokens of one unit that a layout moves: lcm(block.q, block.k), so that query and key blocks stay
/// whole; the same units that homes are made of (core/partition.h).
[[nodiscard]] std::int64_t LayoutUnit(const AttentionShape& shape);

/// "given"; "strided:N": unit i to part i mod N, parts one after the other, so that contiguous
/// homes of N ranks hold strided units; "zigzag:N": units dealt to N parts there and back.
/// A short last unit stays last, or blocks would no longer begin at multiples of their size.
/// errors  Error{kInvalidArgument} for another name, or N < 2
[[nodiscard]] TokenLayout MakeLayout(std::string_view name, const AttentionShape& shape);

/// Names that MakeLayout() knows and are worth judging on `ranks` ranks, "given" first: N the
/// ranks, and its factors, where a ring of fewer ranks takes whole parts.
[[nodiscard]] std::vector<std::string> LayoutNames(int ranks);

/// Where the tokens are.
class TokenOrder {
 public:
  /// errors  Error{kMismatch} when the layout orders other units than the shape has, or moves a
  ///         short last one
  TokenOrder(const TokenLayout& layout, const AttentionShape& shape);
  /// Token that stands at `position`, and where a token stands. requires a token of the shape
  [[nodiscard]] std::int64_t TokenAt(std::int64_t position) const;
  [[nodiscard]] std::int64_t PositionOf(std::int64_t token) const;

 private:
  std::int64_t unit_;
  std::vector<int> order_;  ///< empty = as given
  std::vector<int> place_;  ///< its inverse
};

/// Masks after the layout: bit (i, j) is that of the blocks that stand at i and j. Heads that share
/// a mask share the moved one.
/// errors  as TokenOrder; Error{kMismatch} for masks of another shape
[[nodiscard]] LayerMasks Permuted(const LayerMasks& masks,
                                  const TokenLayout& layout,
                                  const AttentionShape& shape);

}  // namespace dbsp::planner
