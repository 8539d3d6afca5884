// SPDX-License-Identifier: Apache-2.0
// One static permutation of token blocks for a whole plan. It is applied where tokens enter the
// model and undone where they leave it. Tokens, masks and homes between are in the new order.
// Attention does not depend on the order as long as position embeddings move with their tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/block_mask.h"
#include "core/plan.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Tokens of one unit that a layout moves: lcm(block.q, block.k), so query and key blocks stay
/// whole. Homes consist of the same units (core/partition.h).
[[nodiscard]] std::int64_t LayoutUnit(const AttentionShape& shape);

/// Layouts:
///   "given"      the original order
///   "strided:N"  unit i goes to part i mod N; parts follow each other, so contiguous homes of N
///                ranks hold strided units
///   "zigzag:N"   units are dealt to N parts in order, then in reverse order, and so on
/// A short last unit stays last, because blocks must begin at multiples of their size.
/// errors  Error{kInvalidArgument} for another name, or N < 2
[[nodiscard]] TokenLayout MakeLayout(std::string_view name, const AttentionShape& shape);

/// Layout names to try on `ranks` ranks, "given" first. N is the number of ranks, or a factor of
/// it, because a ring of fewer ranks takes whole parts.
[[nodiscard]] std::vector<std::string> LayoutNames(int ranks);

/// Positions of tokens under a layout.
class TokenOrder {
 public:
  /// errors  Error{kMismatch} if the layout has other units than the shape, or moves a short last
  ///         unit
  TokenOrder(const TokenLayout& layout, const AttentionShape& shape);
  /// Token at `position`. requires a position of the shape
  [[nodiscard]] std::int64_t TokenAt(std::int64_t position) const;
  /// Position of `token`. requires a token of the shape
  [[nodiscard]] std::int64_t PositionOf(std::int64_t token) const;

 private:
  std::int64_t unit_;
  std::vector<int> order_;  ///< [position] unit; empty = original order
  std::vector<int> place_;  ///< [unit] position; inverse of order_
};

/// Masks in the layout's order: bit (i, j) belongs to the blocks at positions i and j. Heads that
/// share a mask share the permuted one.
/// errors  as TokenOrder; Error{kMismatch} for masks of another shape
[[nodiscard]] LayerMasks Permuted(const LayerMasks& masks,
                                  const TokenLayout& layout,
                                  const AttentionShape& shape);

}  // namespace dbsp::planner
