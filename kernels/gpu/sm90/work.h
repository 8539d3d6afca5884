// SPDX-License-Identifier: Apache-2.0
// The argument of a block-sparse kernel, and how its parts walk rings of buffers.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::sm90 {

/// An AttentionCall as the kernel sees it: device pointers, sizes in tokens, strides in elements.
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

/// Where a thread is in a ring of kSlots buffers. A consumer waits on "full" with `parity`, a
/// producer on "empty" with `parity ^ 1`: its first round finds the buffers free.
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

/// Batch, head and first query row of a tile.
struct TilePlace {
  int row = 0;
  int head = 0;
  int batch = 0;
};
DBSP_KERNEL_CODE TilePlace PlaceOf(const Work& work, int tile, int q_block) {
  const int head = tile / work.q_blocks;
  const int batch = head / work.heads;
  return {(tile - head * work.q_blocks) * q_block, head - batch * work.heads, batch};
}

}  // namespace dbsp::kernels::gpu::sm90
