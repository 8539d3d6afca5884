// SPDX-License-Identifier: Apache-2.0
// Online softmax one key block at a time, plain loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/variants.h"

namespace dbsp::kernels {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

void AttentionBlockSparse(const AttentionArgs& args) {
  const int d = args.head_dim;
  std::vector<float> scores(static_cast<std::size_t>(args.block.k));
  std::vector<float> sum_o(static_cast<std::size_t>(d));
  for (int i = 0; i < args.q_blocks; ++i) {
    for (int t = 0; t < args.q_tokens[i]; ++t) {
      const std::int64_t row = static_cast<std::int64_t>(i) * args.block.q + t;
      const float* q = args.q + row * d;
      float max = kMinusInfinity;
      float sum = 0.0F;
      std::fill(sum_o.begin(), sum_o.end(), 0.0F);
      for (std::int64_t at = args.list_begin[i]; at < args.list_begin[i + 1]; ++at) {
        const int block = args.list[at];
        const std::int64_t base = static_cast<std::int64_t>(block) * args.block.k * d;
        float block_max = kMinusInfinity;
        for (int j = 0; j < args.k_tokens[block]; ++j) {
          float dot = 0.0F;
          for (int c = 0; c < d; ++c) dot += q[c] * args.k[base + j * d + c];
          scores[j] = dot * args.scale;
          block_max = std::max(block_max, scores[j]);
        }
        const float new_max = std::max(max, block_max);
        if (new_max == kMinusInfinity) continue;
        const float rescale = std::exp(max - new_max);
        max = new_max;
        sum *= rescale;
        for (int c = 0; c < d; ++c) sum_o[c] *= rescale;
        for (int j = 0; j < args.k_tokens[block]; ++j) {
          const float p = std::exp(scores[j] - max);
          sum += p;
          for (int c = 0; c < d; ++c) sum_o[c] += p * args.v[base + j * d + c];
        }
      }
      for (int c = 0; c < d; ++c) args.o[row * d + c] = sum > 0.0F ? sum_o[c] / sum : 0.0F;
      args.lse[row] = sum > 0.0F ? max + std::log(sum) : kMinusInfinity;
    }
  }
}

}  // namespace dbsp::kernels
