// SPDX-License-Identifier: Apache-2.0
// Online softmax over a warp's scores. A lane holds values of four rows of the warp: row r is half
// r % 2 of m16 tile r / 2 (AccumulatorRow). The four lanes of a quad share a row.
#pragma once

#include <cmath>

#include "kernels/gpu/sm80/products.h"

namespace dbsp::kernels::gpu::sm80 {

constexpr int kLaneRows = 4;
constexpr float kNoScore = -INFINITY;

struct SoftmaxState {
  float max[kLaneRows];  ///< reference of the exponents, in raw scores
  float sum[kLaneRows];  ///< sum over this lane's columns; StoreResult adds the four of a quad
};

DBSP_KERNEL_CODE void Reset(SoftmaxState& state) {
  DBSP_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    state.max[r] = kNoScore;
    state.sum[r] = 0.0F;
  }
}

/// Sets the scores of keys from `valid` on to -infinity.
template <int kColumns>
DBSP_KERNEL_CODE void MaskTail(float (&s)[kTiles16][kColumns][4], int valid) {
  const int lane = Opaque(isa::ThreadIndex()) % kWarp;
  DBSP_UNROLL
  for (int n = 0; n < kColumns; ++n) {
    DBSP_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (n * 8 + AccumulatorColumn(lane, i) < valid) continue;
      DBSP_UNROLL
      for (int m = 0; m < kTiles16; ++m) s[m][n][i] = kNoScore;
    }
  }
}

/// Raises the reference of every row whose new scores exceed it by more than `slack`, and rescales
/// sum and O of the lane's rows. scale_log2  scale * log2(e), > 0; every row of s has a finite
/// score slack       kSlackLog2 / scale_log2
template <int kColumns, int kValues>
DBSP_KERNEL_CODE void MoveReference(SoftmaxState& state,
                                    const float (&s)[kTiles16][kColumns][4],
                                    float (&o)[kTiles16][kValues][4],
                                    float scale_log2,
                                    float slack) {
  float factor[kLaneRows];
  bool moved = false;
  DBSP_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    float max = kNoScore;
    DBSP_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      max = isa::Max(max, isa::Max(s[r / 2][n][2 * (r % 2)], s[r / 2][n][2 * (r % 2) + 1]));
    }
    max = isa::Max(max, isa::ShuffleXor(max, 1));
    max = isa::Max(max, isa::ShuffleXor(max, 2));
    factor[r] = 1.0F;
    if (max > state.max[r] + slack) {
      factor[r] = isa::Exp2((state.max[r] - max) * scale_log2);
      state.max[r] = max;
      moved = true;
    }
  }
  if (!moved) return;
  DBSP_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    state.sum[r] *= factor[r];
    DBSP_UNROLL
    for (int n = 0; n < kValues; ++n) {
      o[r / 2][n][2 * (r % 2)] *= factor[r];
      o[r / 2][n][2 * (r % 2) + 1] *= factor[r];
    }
  }
}

/// Replaces scores by weights e^(scale (s - reference)), with one fma and one ex2 each, and adds
/// them to the sums.
template <int kColumns>
DBSP_KERNEL_CODE void Weights(SoftmaxState& state,
                              float (&s)[kTiles16][kColumns][4],
                              float scale_log2) {
  DBSP_UNROLL
  for (int r = 0; r < kLaneRows; ++r) {
    const float shift = -state.max[r] * scale_log2;
    float sum[2] = {0.0F, 0.0F};
    DBSP_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      DBSP_UNROLL
      for (int i = 0; i < 2; ++i) {
        float& value = s[r / 2][n][2 * (r % 2) + i];
        value = isa::Exp2(isa::FusedMultiplyAdd(value, scale_log2, shift));
        sum[i] += value;
      }
    }
    state.sum[r] += sum[0] + sum[1];
  }
}

}  // namespace dbsp::kernels::gpu::sm80
