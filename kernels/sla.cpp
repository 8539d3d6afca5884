// SPDX-License-Identifier: Apache-2.0
#include "kernels/sla.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace dbsp::kernels {
namespace {

std::vector<double> Features(const float* x, int head_dim, FeatureMap map) {
  std::vector<double> phi(x, x + head_dim);
  if (map == FeatureMap::kSoftmax) {
    const double max = *std::max_element(phi.begin(), phi.end());
    double sum = 0.0;
    for (double& value : phi) sum += value = std::exp(value - max);
    for (double& value : phi) value /= sum;
    return phi;
  }
  for (double& value : phi) {
    if (map == FeatureMap::kRelu) value = std::max(value, 0.0);
    if (map == FeatureMap::kElu) value = value > 0.0 ? value + 1.0 : std::exp(value);
  }
  return phi;
}

/// Keys of the blocks that `mask` sets in row i.
std::vector<int> KeysOf(const SlaArgs& args, const BlockMask& mask, int i) {
  std::vector<int> keys;
  for (int j = 0; j < mask.cols(); ++j) {
    if (!mask.Get(i, j)) continue;
    const int last = std::min((j + 1) * args.k_block, args.k_tokens);
    for (int key = j * args.k_block; key < last; ++key) keys.push_back(key);
  }
  return keys;
}

std::vector<double> Exact(const SlaArgs& args, const float* q, const std::vector<int>& keys) {
  const int d = args.head_dim;
  std::vector<double> score;
  double max = -INFINITY;
  for (const int key : keys) {
    const float* k = args.k.data() + static_cast<std::ptrdiff_t>(key) * d;
    score.push_back(args.scale * std::inner_product(q, q + d, k, 0.0));
    max = std::max(max, score.back());
  }
  double sum = 0.0;
  std::vector<double> o(d, 0.0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const double weight = std::exp(score[i] - max);
    sum += weight;
    const float* v = args.v.data() + static_cast<std::ptrdiff_t>(keys[i]) * d;
    for (int c = 0; c < d; ++c) o[c] += weight * v[c];
  }
  for (double& value : o) value = sum > 0.0 ? value / sum : 0.0;
  return o;
}

/// H and Z of a query block: H row-major, then Z.
std::vector<double> State(const SlaArgs& args, const std::vector<int>& keys) {
  const int d = args.head_dim;
  std::vector<double> state(static_cast<std::size_t>(d) * d + d, 0.0);
  for (const int key : keys) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(key) * d;
    const std::vector<double> phi = Features(args.k.data() + at, d, args.features);
    for (int a = 0; a < d; ++a) {
      for (int b = 0; b < d; ++b) state[a * d + b] += phi[a] * args.v[at + b];
      state[static_cast<std::size_t>(d) * d + a] += phi[a];
    }
  }
  return state;
}

/// o += (phi(q) H / (phi(q) Z)) P
void AddLinear(const SlaArgs& args,
               const float* q,
               const std::vector<double>& state,
               std::vector<double>& o) {
  const int d = args.head_dim;
  const std::vector<double> phi = Features(q, d, args.features);
  const double* z = state.data() + static_cast<std::ptrdiff_t>(d) * d;
  const double divisor = std::inner_product(phi.begin(), phi.end(), z, 0.0);
  if (!(divisor > 0.0)) return;
  for (int b = 0; b < d; ++b) {
    double linear = 0.0;
    for (int a = 0; a < d; ++a) linear += phi[a] * state[a * d + b];
    for (int c = 0; c < d; ++c) o[c] += linear / divisor * args.projection[b * d + c];
  }
}

}  // namespace

std::vector<float> MeanPool(std::span<const float> x, int tokens, int head_dim, int block) {
  const int blocks = (tokens + block - 1) / block;
  std::vector<float> mean;
  mean.reserve(static_cast<std::size_t>(blocks) * head_dim);
  for (int b = 0; b < blocks; ++b) {
    const int first = b * block;
    const int last = std::min(first + block, tokens);
    for (int c = 0; c < head_dim; ++c) {
      double sum = 0.0;
      for (int t = first; t < last; ++t) sum += x[static_cast<std::size_t>(t) * head_dim + c];
      mean.push_back(static_cast<float>(sum / (last - first)));
    }
  }
  return mean;
}

SlaBlocks ClassifyBlocks(std::span<const float> q_mean,
                         std::span<const float> k_mean,
                         int head_dim,
                         const SlaShares& shares) {
  const bool good = shares.critical >= 0.0 && shares.negligible >= 0.0 &&
                    shares.critical + shares.negligible <= 1.0;
  if (!good || head_dim < 1 || q_mean.size() % head_dim != 0 || k_mean.size() % head_dim != 0 ||
      k_mean.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "SLA: critical share {} and negligible share {} of {} key values at head_dim {}; expected "
         "shares of 0 to 1 together and whole rows of means",
         shares.critical,
         shares.negligible,
         k_mean.size(),
         head_dim);
  }
  const int q_blocks = static_cast<int>(q_mean.size()) / head_dim;
  const int k_blocks = static_cast<int>(k_mean.size()) / head_dim;
  const auto count = [&](double share) { return static_cast<int>(std::lround(share * k_blocks)); };
  const int critical = std::max(count(shares.critical), 1);
  const int negligible = std::min(count(shares.negligible), k_blocks - critical);
  SlaBlocks blocks{BlockMask(q_blocks, k_blocks), BlockMask(q_blocks, k_blocks)};
  std::vector<double> score(k_blocks);
  std::vector<int> rank(k_blocks);
  for (int i = 0; i < q_blocks; ++i) {
    const float* q = q_mean.data() + static_cast<std::ptrdiff_t>(i) * head_dim;
    for (int j = 0; j < k_blocks; ++j) {
      const float* k = k_mean.data() + static_cast<std::ptrdiff_t>(j) * head_dim;
      score[j] = std::inner_product(q, q + head_dim, k, 0.0);
    }
    std::iota(rank.begin(), rank.end(), 0);
    std::stable_sort(rank.begin(), rank.end(), [&](int a, int b) { return score[a] > score[b]; });
    for (int r = 0; r < k_blocks - negligible; ++r) {
      (r < critical ? blocks.critical : blocks.marginal).Set(i, rank[r]);
    }
  }
  return blocks;
}

std::vector<double> SlaReference(const SlaArgs& args) {
  const int d = args.head_dim;
  std::vector<double> result;
  result.reserve(static_cast<std::size_t>(args.q_tokens) * d);
  for (int i = 0; i < args.blocks->critical.rows(); ++i) {
    const std::vector<int> critical = KeysOf(args, args.blocks->critical, i);
    const std::vector<double> state = State(args, KeysOf(args, args.blocks->marginal, i));
    const int last = std::min((i + 1) * args.q_block, args.q_tokens);
    for (int t = i * args.q_block; t < last; ++t) {
      const float* q = args.q.data() + static_cast<std::ptrdiff_t>(t) * d;
      std::vector<double> o = Exact(args, q, critical);
      AddLinear(args, q, state, o);
      result.insert(result.end(), o.begin(), o.end());
    }
  }
  return result;
}

}  // namespace dbsp::kernels
