// SPDX-License-Identifier: Apache-2.0
// Online softmax of one warpgroup over the accumulators of its products.
//
// A thread holds two rows of a 64-row product: element i of its accumulator is row
// 16 warp + lane / 4 + (i % 4 >= 2 ? 8 : 0), column 8 (i / 4) + 2 (lane % 4) + i % 2. source: PTX
// ISA, wgmma, register fragments of D
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::sm90 {

constexpr float kLog2E = 1.44269504088896340736F;

/// State of a thread's two rows: running maximum of unscaled scores, equal in the four threads of a
/// row, and sum of weights over the thread's own columns.
struct RowState {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};
};

/// Sets the scores of columns first to last - 1, which are not keys, to -infinity.
template <int kCount>
DBSP_KERNEL_CODE void MaskColumns(float (&s)[kCount], int lane, int first, int last) {
  DBSP_UNROLL
  for (int i = 0; i < kCount; ++i) {
    const int column = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
    if (column >= first && column < last) s[i] = -INFINITY;
  }
}

/// Replaces scores by weights 2^(scale_log2 (s - max)) and updates `rows`.
/// rescale  out: factors that rescale earlier sums and outputs to the new maximum
template <int kCount>
DBSP_KERNEL_CODE void TakeScores(float (&s)[kCount],
                                 float scale_log2,
                                 RowState& rows,
                                 float (&rescale)[2]) {
  DBSP_UNROLL
  for (int r = 0; r < 2; ++r) {
    float max = rows.max[r];
    DBSP_UNROLL
    for (int i = 2 * r; i < kCount; i += 4) max = isa::Max(max, isa::Max(s[i], s[i + 1]));
    max = isa::Max(max, isa::ShuffleXor(max, 1));
    max = isa::Max(max, isa::ShuffleXor(max, 2));
    // Where all scores are -infinity the shift is 0, which avoids -infinity - -infinity.
    const float shift = max == -INFINITY ? 0.0F : max * scale_log2;
    rescale[r] = isa::Exp2(isa::FusedMultiplyAdd(rows.max[r], scale_log2, -shift));
    rows.max[r] = max;
    float sum = rows.sum[r] * rescale[r];
    DBSP_UNROLL
    for (int i = 2 * r; i < kCount; i += 4) {
      s[i] = isa::Exp2(isa::FusedMultiplyAdd(s[i], scale_log2, -shift));
      s[i + 1] = isa::Exp2(isa::FusedMultiplyAdd(s[i + 1], scale_log2, -shift));
      sum += s[i] + s[i + 1];
    }
    rows.sum[r] = sum;
  }
}

/// Weights as operand A of the next product. Accumulator and operand have the same fragment layout.
template <int kCount>
DBSP_KERNEL_CODE void PackWeights(const float (&s)[kCount], std::uint32_t (&p)[kCount / 8][4]) {
  DBSP_UNROLL
  for (int i = 0; i < kCount / 8; ++i) {
    DBSP_UNROLL
    for (int j = 0; j < 4; ++j) p[i][j] = isa::PackBf16(s[8 * i + 2 * j], s[8 * i + 2 * j + 1]);
  }
}

template <int kCount>
DBSP_KERNEL_CODE void ScaleRows(float (&o)[kCount], const float (&factor)[2]) {
  DBSP_UNROLL
  for (int i = 0; i < kCount; ++i) o[i] *= factor[i % 4 / 2];
}

}  // namespace dbsp::kernels::gpu::sm90
