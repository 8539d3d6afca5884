// SPDX-License-Identifier: Apache-2.0
// Addresses in shared tiles, and the fragment layout of mma.m16n8k16, for the portable kernels. The
// functions are plain C++, so that CPU tests can enumerate all lanes.
#pragma once

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm80/sm80_layout.h"

namespace dbsp::kernels::gpu::sm80 {

constexpr int kChunksPerPanel = isa::kPanelBytes / kChunkBytes;

/// Returns `value` and hides it from the optimiser. Expressions of it are then evaluated where they
/// are written, instead of being kept in a register during the main loop.
DBSP_KERNEL_CODE int Opaque(int value) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(value));
#endif
  return value;
}

/// Byte offset of 16-byte chunk `chunk` of row `row` in a shared tile of `rows` rows: panels of 64
/// columns one after the other, each swizzled, so that the eight rows an ldmatrix reads at one
/// chunk lie in different banks.
/// requires  rows a multiple of 8
DBSP_KERNEL_CODE constexpr int TileOffset(int rows, int row, int chunk) {
  return (chunk / kChunksPerPanel) * rows * isa::kPanelBytes +
         isa::SwizzledOffset(row, chunk % kChunksPerPanel);
}

/// Offset of the row that a lane addresses in ldmatrix.x4, for columns 0..15 of the tile.
/// ColumnStep of it gives columns 16 kk ..; rows 8 i further are 8 i * 128 bytes further. Use by
/// operand:
///   A, row-major      (Q, P): rows 0-7, 8-15 of the left eight columns, then of the right
///   B, column-major   (K; rows are the product's n): columns left, right of rows 0-7, then 8-15
///   B, transposed     (V; rows are the product's k): as A
///   A, transposed     (phi(K)^T; rows are the product's k): as B
DBSP_KERNEL_CODE constexpr int LaneOffsetRowsFirst(int lane) {
  return isa::SwizzledOffset(lane & 15, lane >> 4);
}
DBSP_KERNEL_CODE constexpr int LaneOffsetColumnsFirst(int lane) {
  return isa::SwizzledOffset((lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1);
}

/// The lane address for columns 16 kk. Moving by two chunks is an exclusive or, because the swizzle
/// is an exclusive or and the tile starts at a multiple of 128 bytes.
DBSP_KERNEL_CODE constexpr std::uint32_t ColumnStep(std::uint32_t lane_address, int rows, int kk) {
  return (lane_address ^ (static_cast<std::uint32_t>(kk % 4) << 5U)) +
         static_cast<std::uint32_t>((kk / 4) * rows * isa::kPanelBytes);
}

/// Row and column, in an m16n8 accumulator, of value `i` (0..3) of a lane.
DBSP_KERNEL_CODE constexpr int AccumulatorRow(int lane, int i) { return lane / 4 + (i / 2) * 8; }
DBSP_KERNEL_CODE constexpr int AccumulatorColumn(int lane, int i) {
  return (lane % 4) * 2 + (i & 1);
}

}  // namespace dbsp::kernels::gpu::sm80
