// SPDX-License-Identifier: Apache-2.0
// Position of a tile of an AttentionCall in its tensors.
#pragma once

#include "kernels/gpu/isa/types.h"

namespace dbsp::kernels::gpu {

struct TilePosition {
  int batch = 0;
  int head = 0;
  int row = 0;  ///< first query token
};

/// tile      (batch * heads + head) * q_blocks + query block
/// q_blocks  query blocks of one head
/// q_block   tokens of a query block
DBSP_KERNEL_CODE constexpr TilePosition PositionOf(int tile, int heads, int q_blocks, int q_block) {
  const int pass = tile / q_blocks;
  const int batch = pass / heads;
  return {batch, pass - batch * heads, (tile - pass * q_blocks) * q_block};
}

}  // namespace dbsp::kernels::gpu
