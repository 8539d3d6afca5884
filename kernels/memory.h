// SPDX-License-Identifier: Apache-2.0
// Kernels beside attention that are bound by memory bandwidth, on a CPU: merge of partial results
// and copies of blocks for packs and unpacks.
#pragma once

#include <cstdint>
#include <span>

namespace dbsp::kernels {

/// Adds a partial result to an accumulator. Both are (o, lse) over the same rows:
///   L = ln(e^l1 + e^l2);  o = o1 e^(l1 - L) + o2 e^(l2 - L)
/// Where both lse are -infinity, o becomes 0 and L is -infinity.
/// shape  o, part_o [rows][head_dim]; lse, part_lse [rows]
void MergePartial(std::int64_t rows,
                  int head_dim,
                  float* o,
                  float* lse,
                  const float* part_o,
                  const float* part_lse);

/// One block copy of a pack or unpack: `tokens` rows of head_dim elements between the home layout
/// ([token][heads][head_dim]) and contiguous block memory. Offsets in elements.
struct CopyItem {
  std::int64_t from = 0;
  std::int64_t to = 0;
  int tokens = 0;
};
/// Copies every item. Strides are in floats between successive tokens.
void CopyBlocks(const float* from,
                std::int64_t from_stride,
                float* to,
                std::int64_t to_stride,
                int head_dim,
                std::span<const CopyItem> items);

}  // namespace dbsp::kernels
