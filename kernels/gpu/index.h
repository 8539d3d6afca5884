// SPDX-License-Identifier: Apache-2.0
// Which float a GPU thread works on; plain functions, so that the CPU's tests check them.
#pragma once

#include <cstdint>

#include "kernels/merge_weights.h"

namespace dbsp::kernels::gpu {

constexpr int kThreads = 256;  ///< per block, of every kernel here
constexpr std::int64_t kMaxBlocks = 65535;  ///< grid-stride loops make a larger grid useless

/// Blocks for `items` items of one thread each, at least 1.
DBSP_HOST_DEVICE constexpr std::int64_t GridFor(std::int64_t items) {
  const std::int64_t blocks = (items + kThreads - 1) / kThreads;
  return blocks < 1 ? 1 : (blocks > kMaxBlocks ? kMaxBlocks : blocks);
}

/// Position of element `index` of a [rows][cols] array.
struct RowCol {
  std::int64_t row = 0;
  int col = 0;
};
DBSP_HOST_DEVICE constexpr RowCol RowColOf(std::int64_t index, int cols) {
  return {index / cols, static_cast<int>(index % cols)};
}

/// From and to offsets, in floats, of channel `col` of an item's token `token`.
struct CopyOffsets {
  std::int64_t from = 0;
  std::int64_t to = 0;
};
DBSP_HOST_DEVICE constexpr CopyOffsets CopyOffsetsOf(std::int64_t item_from,
                                                     std::int64_t item_to,
                                                     std::int64_t token,
                                                     int col,
                                                     std::int64_t from_stride,
                                                     std::int64_t to_stride) {
  return {item_from + token * from_stride + col, item_to + token * to_stride + col};
}

}  // namespace dbsp::kernels::gpu
