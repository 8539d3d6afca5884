// SPDX-License-Identifier: Apache-2.0
// The different masks of a layer. Heads often share a mask object, which is then counted once.
#pragma once

#include <vector>

#include "core/block_mask.h"

namespace dbsp::planner {

/// A mask object and the heads that share it.
struct DistinctMask {
  const BlockMask* mask = nullptr;
  std::vector<int> heads;
};

/// Mask objects of a layer, in the order of their first head. The result refers to `masks`.
/// errors  Error{kInvalidArgument} if a head has no mask or the masks differ in size
[[nodiscard]] std::vector<DistinctMask> DistinctMasks(const LayerMasks& masks);

}  // namespace dbsp::planner
