// SPDX-License-Identifier: Apache-2.0
// Scores of 16 rows per warp with chunks of 64 keys by mma.sync, for the predictors of key lists.
// Needs compute capability 8.0 or higher. Both predictors read K once per block of rows.
//
// Shared tiles have rows of D bf16 values. The 16-byte chunks of a row are swizzled by the low
// three bits of the row, so that the eight rows that an ldmatrix reads are in different banks.
#pragma once

#include "kernels/gpu/gather/list_args.h"
#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::gather {

constexpr int kChunkKeys = 64;

/// Rows of one head in global memory.
struct HeadView {
  const std::uint8_t* data = nullptr;
  std::int64_t row_bytes = 0;
  int rows = 0;
};

DBSP_KERNEL_CODE HeadView HeadOf(const TensorView& view, int tokens, int heads, int batch_head) {
  const std::int64_t first =
      batch_head / heads * view.batch_stride + batch_head % heads * view.head_stride;
  return {static_cast<const std::uint8_t*>(view.data) + first * 2, view.token_stride * 2, tokens};
}

template <int D>
DBSP_KERNEL_CODE constexpr int ScoreOffset(int row, int chunk) {
  return row * D * 2 + ((chunk ^ (row & 7)) << 4);
}

/// Starts the copies of rows [first, first + ROWS) of `from` to the tile at `to`. Rows past the end
/// become 0. All THREADS threads call it.
template <int D, int ROWS, int THREADS>
DBSP_KERNEL_CODE void CopyScoreRows(std::uint32_t to, const HeadView& from, int first) {
  constexpr int kChunks = D / 8;
  static_assert(ROWS * kChunks % THREADS == 0, "every thread copies as many chunks");
  DBSP_UNROLL
  for (int i = 0; i < ROWS * kChunks / THREADS; ++i) {
    const int at = i * THREADS + isa::ThreadIndex();
    const int row = at / kChunks;
    const int chunk = at % kChunks;
    const bool inside = first + row < from.rows;
    const std::uint8_t* source =
        inside ? from.data + (first + row) * from.row_bytes + chunk * 16 : from.data;
    isa::CopyAsync16(to + ScoreOffset<D>(row, chunk), source, inside ? 16 : 0);
  }
}

/// A fragments of this warp's 16 rows of the tile at `tile`.
template <int D>
DBSP_KERNEL_CODE void LoadRows(std::uint32_t (&a)[D / 16][4], std::uint32_t tile, int warp) {
  const int lane = isa::ThreadIndex() % 32;
  const int row = warp * 16 + lane % 16;
  DBSP_UNROLL
  for (int k = 0; k < D / 16; ++k) {
    isa::LoadMatrix4(a[k], tile + ScoreOffset<D>(row, 2 * k + lane / 16));
  }
}

/// s = rows x keys^T over the kChunkKeys keys of the tile at `tile`. s[t][i] is the score of key
/// 8 t + 2 (lane % 4) + (i & 1) and row lane / 4 + 8 (i / 2).
template <int D>
DBSP_KERNEL_CODE void ScoreChunk(float (&s)[kChunkKeys / 8][4],
                                 const std::uint32_t (&a)[D / 16][4],
                                 std::uint32_t tile) {
  const int lane = isa::ThreadIndex() % 32;
  DBSP_UNROLL
  for (int t = 0; t < kChunkKeys / 8; ++t) {
    DBSP_UNROLL
    for (int i = 0; i < 4; ++i) s[t][i] = 0.0F;
  }
  // One ldmatrix: keys 0-7 and 8-15 of a group of 16, both halves of a 16-wide step of D.
  const int key = lane % 8 + lane / 16 * 8;
  DBSP_UNROLL
  for (int k = 0; k < D / 16; ++k) {
    DBSP_UNROLL
    for (int t = 0; t < kChunkKeys / 8; t += 2) {
      std::uint32_t b[4];
      isa::LoadMatrix4(b, tile + ScoreOffset<D>(8 * t + key, 2 * k + lane / 8 % 2));
      const std::uint32_t low[2] = {b[0], b[1]};
      const std::uint32_t high[2] = {b[2], b[3]};
      isa::Mma16816(s[t], a[k], low);
      isa::Mma16816(s[t + 1], a[k], high);
    }
  }
}

}  // namespace dbsp::kernels::gpu::gather
