// SPDX-License-Identifier: Apache-2.0
// Writes O = 0 and LSE = -infinity for query blocks without keys, which are not in the order.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

/// Fills the rows of entries (kPerEntry query blocks) whose lists are all empty, one entry per
/// warp. launch   called by whole warps; `warp` is the index among the `warps` calling warps of the
/// grid
template <int kHeadDim, int kQBlock, int kPerEntry>
DBSP_KERNEL_CODE void FillEmptyEntries(const Work& work, int warp, int warps) {
  constexpr int kChunks = kHeadDim / 8;  // 16-byte pieces of a row
  const int lane = isa::ThreadIndex() % 32;
  const int per_head = (work.q_blocks + kPerEntry - 1) / kPerEntry;
  const int entries = work.batch * work.heads * per_head;
  for (int entry = warp; entry < entries; entry += warps) {
    const int head = entry / per_head;
    const int block = (entry - head * per_head) * kPerEntry;
    const int last = block + kPerEntry < work.q_blocks ? block + kPerEntry : work.q_blocks;
    const int tile = head * work.q_blocks + block;
    if (isa::LoadGlobal(work.begin + tile) !=
        isa::LoadGlobal(work.begin + head * work.q_blocks + last)) {
      continue;
    }
    const TilePosition position = PositionOf(work, tile, kQBlock);
    const int left = work.q_tokens - position.row;
    const int rows = left < kPerEntry * kQBlock ? left : kPerEntry * kQBlock;
    auto* const o = static_cast<std::uint16_t*>(work.o) + position.batch * work.o_batch_stride +
                    position.head * work.o_head_stride + position.row * work.o_token_stride;
    for (int i = lane; i < rows * kChunks; i += 32) {
      isa::StoreGlobal16(o + i / kChunks * work.o_token_stride + i % kChunks * 8, isa::Vector16{});
    }
    float* const lse = work.lse + static_cast<std::int64_t>(head) * work.q_tokens + position.row;
    for (int i = lane; i < rows; i += 32) isa::StoreGlobal(lse + i, -INFINITY);
  }
}

}  // namespace dbsp::kernels::gpu::sm90
