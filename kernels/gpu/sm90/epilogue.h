// SPDX-License-Identifier: Apache-2.0
// Epilogue: writes a warpgroup's accumulators to O and LSE in global memory.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm90/sm90_layout.h"
#include "kernels/gpu/sm90/softmax.h"
#include "kernels/gpu/sm90/work.h"

namespace dbsp::kernels::gpu::sm90 {

/// Adds the sums of the four threads of a row and writes LSE (thread lane % 4 == 0).
/// factor  out: 1 / sum of the thread's two rows, 0 for a row without keys
DBSP_KERNEL_CODE void StoreLse(const Work& work,
                               const TilePosition& position,
                               const RowState& rows,
                               float (&factor)[2]) {
  const int lane = isa::ThreadIndex() % 32;
  const int warp = isa::ThreadIndex() / 32 % 4;
  const std::int64_t head = static_cast<std::int64_t>(position.batch) * work.heads + position.head;
  DBSP_UNROLL
  for (int r = 0; r < 2; ++r) {
    float sum = rows.sum[r];
    sum += isa::ShuffleXor(sum, 1);
    sum += isa::ShuffleXor(sum, 2);
    const bool any = sum > 0.0F;
    factor[r] = any ? 1.0F / sum : 0.0F;
    const int row = position.row + 16 * warp + lane / 4 + 8 * r;
    if (lane % 4 == 0 && row < work.q_tokens) {
      isa::StoreGlobal(work.lse + head * work.q_tokens + row,
                       any ? rows.max[r] * work.scale + isa::LogE(sum) : -INFINITY);
    }
  }
}

/// Writes O = o / sum through the warpgroup's own rows of the Q tile at `q`, which its products no
/// longer read. On return the first thread of the warpgroup has committed the TMA store that reads
/// them.
template <Tile kTile, int kCount>
DBSP_KERNEL_CODE void StoreTile(const Arguments& args,
                                const TilePosition& position,
                                int group,
                                float (&o)[kCount],
                                const RowState& rows,
                                std::uint32_t q) {
  using L = Layout<kTile>;
  float factor[2];
  StoreLse(args.work, position, rows, factor);
  ScaleRows(o, factor);
  isa::NamedSync(kWarpgroupBarrier + group, 128);  // no warp reads Q any more
  const int lane = isa::ThreadIndex() % 32;
  const int warp = isa::ThreadIndex() / 32 % 4;
  const int row = 16 * warp + lane % 16;
  DBSP_UNROLL
  for (int i = 0; i < kTile.head_dim / 16; ++i) {
    // Four 8 x 8 matrices: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15.
    const std::uint32_t matrices[4] = {isa::PackBf16(o[8 * i], o[8 * i + 1]),
                                       isa::PackBf16(o[8 * i + 2], o[8 * i + 3]),
                                       isa::PackBf16(o[8 * i + 4], o[8 * i + 5]),
                                       isa::PackBf16(o[8 * i + 6], o[8 * i + 7])};
    isa::StoreMatrix4(q + i / 4 * L::kQPanelBytes + isa::SwizzledOffset(row, i % 4 * 2 + lane / 16),
                      matrices);
  }
  isa::FenceProxyAsync();
  isa::NamedSync(kWarpgroupBarrier + group, 128);
  if (isa::ThreadIndex() % 128 == 0) {
    DBSP_UNROLL
    for (int p = 0; p < L::kPanels; ++p) {
      isa::TmaStore(
          &args.o, 64 * p, position.row, position.head, position.batch, q + p * L::kQPanelBytes);
    }
    isa::TmaStoreCommit();
  }
}

/// Waits for the stores of StoreTile. Every thread that called StoreTile calls it before it ends,
/// because shared memory must outlive the stores.
DBSP_KERNEL_CODE void FinishStores() {
  if (isa::ThreadIndex() % 128 == 0) isa::TmaStoreWait<0>();
}

}  // namespace dbsp::kernels::gpu::sm90
