// SPDX-License-Identifier: Apache-2.0
// Kernel arguments made from an AttentionCall: plain data with strides in bytes, and addresses of
// rows of a tile.
#pragma once

#include <cstdint>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/tile_position.h"

namespace dbsp::kernels::gpu::sm80 {

struct TensorBytes {
  std::uint8_t* data = nullptr;
  std::int64_t batch_bytes = 0;
  std::int64_t head_bytes = 0;
  std::int64_t token_bytes = 0;
};

struct Arguments {
  TensorBytes q;
  TensorBytes k;
  TensorBytes v;
  TensorBytes o;
  float* lse = nullptr;
  const std::int32_t* begin = nullptr;
  const std::int32_t* list = nullptr;
  const std::int32_t* order = nullptr;
  std::int32_t* counter = nullptr;
  int ordered_tiles = 0;
  int tiles = 0;
  int heads = 1;
  int q_blocks = 0;
  int q_tokens = 0;
  int k_tokens = 0;
  float scale = 1.0F;
  float scale_log2 = 1.0F;  ///< scale * log2(e)
  float slack = 0.0F;  ///< kSlackLog2 / scale_log2
};

/// log2 of the largest weight. The reference of a row's exponents is raised only when a weight
/// would exceed 2^8 relative to it; until then O need not be rescaled. Weights up to 256 lose no
/// precision in bf16 or in the fp32 sums.
constexpr float kSlackLog2 = 8.0F;

inline TensorBytes BytesOf(const TensorView& view) {
  return {static_cast<std::uint8_t*>(view.data),
          view.batch_stride * 2,
          view.head_stride * 2,
          view.token_stride * 2};
}

/// requires  a call that CheckCall lets pass
inline Arguments ArgumentsOf(const Variant& variant, const AttentionCall& call) {
  constexpr float kLog2E = 1.44269504088896341F;
  const AttentionShape& shape = call.shape;
  const int q_blocks = (shape.q_tokens - 1) / variant.q_block + 1;
  return {.q = BytesOf(call.q),
          .k = BytesOf(call.k),
          .v = BytesOf(call.v),
          .o = BytesOf(call.o),
          .lse = call.lse,
          .begin = call.begin,
          .list = call.list,
          .order = call.order,
          .counter = call.counter,
          .ordered_tiles = call.ordered_tiles,
          .tiles = shape.batch * shape.heads * q_blocks,
          .heads = shape.heads,
          .q_blocks = q_blocks,
          .q_tokens = shape.q_tokens,
          .k_tokens = shape.k_tokens,
          .scale = shape.scale,
          .scale_log2 = shape.scale * kLog2E,
          .slack = kSlackLog2 / (shape.scale * kLog2E)};
}

DBSP_KERNEL_CODE TilePosition PositionOf(const Arguments& p, int tile, int q_block) {
  return gpu::PositionOf(tile, p.heads, p.q_blocks, q_block);
}
DBSP_KERNEL_CODE std::uint8_t* HeadOf(const TensorBytes& tensor, const TilePosition& at) {
  return tensor.data + at.batch * tensor.batch_bytes + at.head * tensor.head_bytes;
}
DBSP_KERNEL_CODE std::uint8_t* RowOf(const TensorBytes& tensor, const TilePosition& at, int row) {
  return HeadOf(tensor, at) + row * tensor.token_bytes;
}
DBSP_KERNEL_CODE float* LseOf(const Arguments& p, const TilePosition& at, int row) {
  const std::int64_t pass = static_cast<std::int64_t>(at.batch) * p.heads + at.head;
  return p.lse + pass * p.q_tokens + row;
}

}  // namespace dbsp::kernels::gpu::sm80
