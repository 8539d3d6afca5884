// SPDX-License-Identifier: Apache-2.0
// Products of one warp's 32 rows with shared tiles by mma.m16n8k16: bf16 operands, fp32 sums. The
// values of a lane are [m16 tile][n8 tile][4]; tile.h gives row and column of each.
#pragma once

#include "kernels/gpu/sm80/tile.h"

namespace dbsp::kernels::gpu::sm80 {

constexpr int kTiles16 = kWarpRows / 16;  ///< m16 tiles of a warp

template <int kColumns>
DBSP_KERNEL_CODE void SetZero(float (&c)[kTiles16][kColumns][4]) {
  DBSP_UNROLL
  for (int m = 0; m < kTiles16; ++m) {
    DBSP_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      DBSP_UNROLL
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0F;
    }
  }
}

/// Two n8 tiles of both m16 tiles; b holds the fragments of columns 0-7, then of 8-15.
template <int kColumns>
DBSP_KERNEL_CODE void MultiplyPair(float (&c)[kTiles16][kColumns][4],
                                   int n,
                                   const std::uint32_t (&a)[kTiles16][4],
                                   const std::uint32_t (&b)[4]) {
  const std::uint32_t left[2] = {b[0], b[1]};
  const std::uint32_t right[2] = {b[2], b[3]};
  DBSP_UNROLL
  for (int m = 0; m < kTiles16; ++m) {
    isa::Mma16816(c[m][n], a[m], left);
    isa::Mma16816(c[m][n + 1], a[m], right);
  }
}

/// c += A B^T, A [32][16 kSteps] and B [8 kColumns][16 kSteps] both in shared tiles.
/// a, b           addresses of the lane: tile + first row + LaneOffsetRowsFirst, ..ColumnsFirst
/// a_rows, b_rows rows of the tiles
template <int kSteps, int kColumns>
DBSP_KERNEL_CODE void MultiplyTransposed(
    float (&c)[kTiles16][kColumns][4], std::uint32_t a, int a_rows, std::uint32_t b, int b_rows) {
  DBSP_UNROLL
  for (int kk = 0; kk < kSteps; ++kk) {
    std::uint32_t fa[kTiles16][4];
    DBSP_UNROLL
    for (int m = 0; m < kTiles16; ++m) {
      isa::LoadMatrix4(fa[m], ColumnStep(a, a_rows, kk) + m * 16 * isa::kPanelBytes);
    }
    DBSP_UNROLL
    for (int n = 0; n < kColumns; n += 2) {
      std::uint32_t fb[4];
      isa::LoadMatrix4(fb, ColumnStep(b, b_rows, kk) + n * 8 * isa::kPanelBytes);
      MultiplyPair(c, n, fa, fb);
    }
  }
}

/// c += A B, A [32][16 kSteps] in registers (Fragments), B [16 kSteps][8 kColumns] in a shared
/// tile. b  address of the lane: tile + LaneOffsetRowsFirst
template <int kSteps, int kColumns>
DBSP_KERNEL_CODE void Multiply(float (&c)[kTiles16][kColumns][4],
                               const std::uint32_t (&a)[kSteps][kTiles16][4],
                               std::uint32_t b,
                               int b_rows) {
  DBSP_UNROLL
  for (int kk = 0; kk < kSteps; ++kk) {
    DBSP_UNROLL
    for (int n = 0; n < kColumns; n += 2) {
      std::uint32_t fb[4];
      isa::LoadMatrix4Trans(fb, ColumnStep(b, b_rows, n / 2) + kk * 16 * isa::kPanelBytes);
      MultiplyPair(c, n, a[kk], fb);
    }
  }
}

/// Rounds the values of a product to bf16 as A operand of the next product. The values of two
/// neighbouring n8 tiles form the fragment of one k16 step, so lanes exchange nothing.
template <int kColumns>
DBSP_KERNEL_CODE void ToFragments(std::uint32_t (&a)[kColumns / 2][kTiles16][4],
                                  const float (&c)[kTiles16][kColumns][4]) {
  DBSP_UNROLL
  for (int kk = 0; kk < kColumns / 2; ++kk) {
    DBSP_UNROLL
    for (int m = 0; m < kTiles16; ++m) {
      DBSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float(&pair)[4] = c[m][2 * kk + i / 2];
        a[kk][m][i] = isa::PackBf16(pair[2 * (i & 1)], pair[2 * (i & 1) + 1]);
      }
    }
  }
}

/// Rounds c to bf16 into the warp's own 32 rows of a shared tile; every value of a row is written.
/// warp_tile  address of the tile + the warp's first row * 128
template <int kColumns>
DBSP_KERNEL_CODE void StoreTile(std::uint32_t warp_tile,
                                int rows,
                                int lane,
                                const float (&c)[kTiles16][kColumns][4]) {
  DBSP_UNROLL
  for (int m = 0; m < kTiles16; ++m) {
    DBSP_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      DBSP_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = m * 16 + AccumulatorRow(lane, 2 * half);
        isa::StoreShared(warp_tile + TileOffset(rows, row, n) + AccumulatorColumn(lane, 0) * 2,
                         isa::PackBf16(c[m][n][2 * half], c[m][n][2 * half + 1]));
      }
    }
  }
}

}  // namespace dbsp::kernels::gpu::sm80
