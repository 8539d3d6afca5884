// SPDX-License-Identifier: Apache-2.0
#include "kernels/memory.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace dbsp::kernels {
namespace {

/// Weights of two partial results of one row: o = o * kept + part_o * added.
struct MergeWeights {
  float kept = 0.0F;
  float added = 0.0F;
  float lse = 0.0F;
};

/// L = ln(e^a + e^b) and the weights e^(a - L) and e^(b - L), without overflow.
/// requires a or b is finite
MergeWeights WeightsOf(float a, float b) {
  const float max = std::max(a, b);
  const float ea = std::exp(a - max);  // e^-inf is 0: a side without keys has no weight
  const float eb = std::exp(b - max);
  const float sum = ea + eb;
  return {ea / sum, eb / sum, max + std::log(sum)};
}

/// The compiler vectorises the loop because the pointers do not alias. Memory bandwidth limits it
/// at every vector width.
void MergeRow(int head_dim,
              float* __restrict__ to,
              const float* __restrict__ from,
              const MergeWeights& weights) {
  const float kept = weights.kept;
  const float added = weights.added;
  for (int c = 0; c < head_dim; ++c) to[c] = to[c] * kept + from[c] * added;
}

}  // namespace

void MergePartial(std::int64_t rows,
                  int head_dim,
                  float* o,
                  float* lse,
                  const float* part_o,
                  const float* part_lse) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (std::int64_t r = 0; r < rows; ++r) {
    float* to = o + r * head_dim;
    const float* from = part_o + r * head_dim;
    if (part_lse[r] == kNone) {
      // Nothing to add. The accumulator of a row without keys may hold any value.
      if (lse[r] == kNone) std::fill_n(to, head_dim, 0.0F);
      continue;
    }
    const MergeWeights weights = WeightsOf(lse[r], part_lse[r]);
    if (lse[r] == kNone) {
      std::copy_n(from, head_dim, to);
    } else {
      MergeRow(head_dim, to, from, weights);
    }
    lse[r] = weights.lse;
  }
}

void CopyBlocks(const float* from,
                std::int64_t from_stride,
                float* to,
                std::int64_t to_stride,
                int head_dim,
                std::span<const CopyItem> items) {
  const std::size_t row_bytes = static_cast<std::size_t>(head_dim) * sizeof(float);
  for (const CopyItem& item : items) {
    const float* source = from + item.from;
    float* target = to + item.to;
    if (from_stride == head_dim && to_stride == head_dim) {
      std::memcpy(target, source, row_bytes * static_cast<std::size_t>(item.tokens));
      continue;
    }
    for (int t = 0; t < item.tokens; ++t) {
      std::memcpy(target + t * to_stride, source + t * from_stride, row_bytes);
    }
  }
}

}  // namespace dbsp::kernels
