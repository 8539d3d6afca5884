// SPDX-License-Identifier: Apache-2.0
// Arguments of a block-sparse kernel, and the cursor with which its warps step through a ring of
// buffers.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/tile_position.h"

namespace dbsp::kernels::gpu::sm90 {

/// The data of an AttentionCall that the kernel reads: device pointers, sizes in tokens, strides in
/// elements.
struct Work {
  const std::int32_t* begin = nullptr;
  const std::int32_t* list = nullptr;
  const std::int32_t* order = nullptr;
  std::int32_t* counter = nullptr;
  float* lse = nullptr;
  void* o = nullptr;
  std::int64_t o_batch_stride = 0;
  std::int64_t o_head_stride = 0;
  std::int64_t o_token_stride = 0;
  int ordered_tiles = 0;
  int batch = 1;
  int heads = 1;
  int q_blocks = 0;  ///< of one head
  int q_tokens = 0;
  int k_tokens = 0;
  float scale = 1.0F;
};

/// requires  a call that CheckCall lets pass
inline Work WorkOf(const Variant& variant, const AttentionCall& call) {
  return {.begin = call.begin,
          .list = call.list,
          .order = call.order,
          .counter = call.counter,
          .lse = call.lse,
          .o = call.o.data,
          .o_batch_stride = call.o.batch_stride,
          .o_head_stride = call.o.head_stride,
          .o_token_stride = call.o.token_stride,
          .ordered_tiles = call.ordered_tiles,
          .batch = call.shape.batch,
          .heads = call.shape.heads,
          .q_blocks = (call.shape.q_tokens - 1) / variant.q_block + 1,
          .q_tokens = call.shape.q_tokens,
          .k_tokens = call.shape.k_tokens,
          .scale = call.shape.scale};
}

struct Arguments {
  Work work;
  isa::TensorMap q;
  isa::TensorMap k;
  isa::TensorMap v;
  isa::TensorMap o;
};

/// Position of a thread in a ring of kSlots buffers. A consumer waits on "full" with `parity`. A
/// producer waits on "empty" with `parity ^ 1`, so that its first round does not block.
template <int kSlots>
struct Cursor {
  int slot = 0;
  std::uint32_t parity = 0;

  DBSP_KERNEL_CODE void Next() {
    if (++slot == kSlots) {
      slot = 0;
      parity ^= 1U;
    }
  }
};

DBSP_KERNEL_CODE TilePosition PositionOf(const Work& work, int tile, int q_block) {
  return gpu::PositionOf(tile, work.heads, work.q_blocks, q_block);
}

}  // namespace dbsp::kernels::gpu::sm90
