// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "kernels/attention.h"

namespace dbsp::kernels {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

struct Key {
  const float* k;
  const float* v;
};

std::vector<Key> KeysOf(const AttentionArgs& args, int q_block) {
  std::vector<Key> keys;
  const std::int64_t stride = static_cast<std::int64_t>(args.block.k) * args.head_dim;
  for (std::int64_t at = args.list_begin[q_block]; at < args.list_begin[q_block + 1]; ++at) {
    const int block = args.list[at];
    for (int t = 0; t < args.k_tokens[block]; ++t) {
      const std::int64_t offset = block * stride + static_cast<std::int64_t>(t) * args.head_dim;
      keys.push_back({args.k + offset, args.v + offset});
    }
  }
  return keys;
}

void Row(
    const float* q, const std::vector<Key>& keys, const AttentionArgs& args, float* o, float* lse) {
  const int d = args.head_dim;
  std::vector<double> scores(keys.size());
  double max = kMinusInfinity;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    double dot = 0.0;
    for (int c = 0; c < d; ++c) dot += static_cast<double>(q[c]) * keys[j].k[c];
    scores[j] = dot * args.scale;
    max = std::max(max, scores[j]);
  }
  std::vector<double> sum_o(d, 0.0);
  double sum = 0.0;
  for (std::size_t j = 0; j < keys.size() && max > kMinusInfinity; ++j) {
    const double p = std::exp(scores[j] - max);
    sum += p;
    for (int c = 0; c < d; ++c) sum_o[c] += p * keys[j].v[c];
  }
  for (int c = 0; c < d; ++c) o[c] = sum > 0.0 ? static_cast<float>(sum_o[c] / sum) : 0.0F;
  *lse = static_cast<float>(sum > 0.0 ? max + std::log(sum) : kMinusInfinity);
}

}  // namespace

void AttentionReference(const AttentionArgs& args) {
  for (int i = 0; i < args.q_blocks; ++i) {
    const std::vector<Key> keys = KeysOf(args, i);
    for (int t = 0; t < args.q_tokens[i]; ++t) {
      const std::int64_t row = static_cast<std::int64_t>(i) * args.block.q + t;
      Row(args.q + row * args.head_dim, keys, args, args.o + row * args.head_dim, args.lse + row);
    }
  }
}

}  // namespace dbsp::kernels
