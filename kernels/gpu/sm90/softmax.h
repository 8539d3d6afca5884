// SPDX-License-Identifier: Apache-2.0
// The online softmax of one warpgroup over the accumulators of its products.
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

/// Running maximum (of unscaled scores; the four threads of a row agree on it) and sum of weights
/// (each thread its own columns') of a thread's two rows.
struct RowState {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};
};

/// -infinity in columns first to last - 1: keys that do not exist.
template <int kCount>
DBSP_KERNEL_CODE void MaskColumns(float (&s)[kCount], int lane, int first, int last) {
  DBSP_UNROLL
  for (int i = 0; i < kCount; ++i) {
    const int column = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
    if (column >= first && column < last) s[i] = -INFINITY;
  }
}

/// Turns scores into weights 2^(scale_log2 (s - max)) and takes them into `rows`.
/// rescale  out: what brings earlier sums and outputs to the new maximum
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
    // A row whose every score is -infinity keeps weights of 0 instead of -infinity - -infinity.
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

/// Weights as operand A of the next product: the accumulator's fragment is the operand's.
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
