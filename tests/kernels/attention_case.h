// SPDX-License-Identifier: Apache-2.0
// Random attention calls and an independent dense masked softmax to compare with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention.h"

namespace dbsp::kernels::testing {

constexpr float kGuard = -12345.0F;

/// Inputs, and outputs with a guard zone of `kGuardFloats` before and behind.
struct AttentionCase {
  static constexpr std::size_t kGuardFloats = 64;

  AttentionArgs args;
  std::vector<float> q, k, v, o, lse;
  std::vector<int> q_tokens, k_tokens, list;
  std::vector<std::int64_t> list_begin;

  /// Sets the pointers of args. Call it after the vectors have changed size or the object has
  /// moved.
  AttentionArgs& Bind() {
    args.q = q.data();
    args.k = k.data();
    args.v = v.data();
    args.q_tokens = q_tokens;
    args.k_tokens = k_tokens;
    args.list_begin = list_begin;
    args.list = list;
    args.o = o.data() + kGuardFloats;
    args.lse = lse.data() + kGuardFloats;
    return args;
  }
  void ResetOutputs() {
    const std::size_t rows = static_cast<std::size_t>(args.q_blocks) * args.block.q;
    o.assign(rows * args.head_dim + 2 * kGuardFloats, kGuard);
    lse.assign(rows + 2 * kGuardFloats, kGuard);
  }
  float& O(int block, int token, int c) {
    return o[kGuardFloats +
             (static_cast<std::size_t>(block) * args.block.q + token) * args.head_dim + c];
  }
  float& Lse(int block, int token) {
    return lse[kGuardFloats + static_cast<std::size_t>(block) * args.block.q + token];
  }
};

struct CaseOptions {
  int head_dim = 64;
  BlockSize block{64, 64};
  int q_blocks = 3;
  int k_blocks = 4;
  double density = 0.5;
  bool tails = true;  ///< short last blocks, and now and then a short one in the middle
  float spread = 1.0F;  ///< standard deviation of q and k
};

/// Rows of K and V beyond k_tokens are NaN, so that a kernel that uses them gives NaN.
inline AttentionCase MakeCase(const CaseOptions& options, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  AttentionCase made;
  AttentionArgs& args = made.args;
  args.head_dim = options.head_dim;
  args.block = options.block;
  args.scale = 1.0F / std::sqrt(static_cast<float>(options.head_dim));
  args.q_blocks = options.q_blocks;
  args.k_blocks = options.k_blocks;
  const auto draw_tokens = [&](int blocks, int full) {
    std::vector<int> tokens(blocks, full);
    for (int i = 0; i < blocks && options.tails; ++i) {
      if (i + 1 == blocks || random() % 4 == 0) tokens[i] = 1 + static_cast<int>(random() % full);
    }
    return tokens;
  };
  made.q_tokens = draw_tokens(options.q_blocks, options.block.q);
  made.k_tokens = draw_tokens(options.k_blocks, options.block.k);
  const auto fill =
      [&](std::vector<float>& to, const std::vector<int>& tokens, int rows, float spread) {
        to.assign(tokens.size() * rows * options.head_dim, std::numeric_limits<float>::quiet_NaN());
        for (std::size_t b = 0; b < tokens.size(); ++b) {
          for (int i = 0; i < tokens[b] * options.head_dim; ++i) {
            to[b * rows * options.head_dim + i] = spread * normal(random);
          }
        }
      };
  fill(made.q, made.q_tokens, options.block.q, options.spread);
  fill(made.k, made.k_tokens, options.block.k, options.spread);
  fill(made.v, made.k_tokens, options.block.k, 1.0F);
  made.list_begin.push_back(0);
  for (int i = 0; i < options.q_blocks; ++i) {
    for (int j = 0; j < options.k_blocks; ++j) {
      const double draw = static_cast<double>(random() % 1000) / 1000.0;
      if (draw < options.density) made.list.push_back(j);
    }
    made.list_begin.push_back(static_cast<std::int64_t>(made.list.size()));
  }
  made.ResetOutputs();
  made.Bind();
  return made;
}

/// O and LSE of every row by a dense score matrix with -infinity where the mask is 0.
struct Dense {
  std::vector<double> o, lse;
};
inline Dense DenseMaskedSoftmax(const AttentionCase& call) {
  const AttentionArgs& args = call.args;
  const int d = args.head_dim;
  const std::size_t rows = static_cast<std::size_t>(args.q_blocks) * args.block.q;
  const std::size_t cols = static_cast<std::size_t>(args.k_blocks) * args.block.k;
  const double none = -std::numeric_limits<double>::infinity();
  Dense result{std::vector<double>(rows * d, 0.0), std::vector<double>(rows, none)};
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t block = i / args.block.q;
    std::vector<double> score(cols, none);
    for (std::size_t j = 0; j < cols; ++j) {
      const auto first = call.list.begin() + call.list_begin[block];
      const auto last = call.list.begin() + call.list_begin[block + 1];
      const int k_block = static_cast<int>(j / args.block.k);
      if (std::find(first, last, k_block) == last) continue;
      if (static_cast<int>(j % args.block.k) >= call.k_tokens[k_block]) continue;
      long double dot = 0.0L;
      for (int c = 0; c < d; ++c)
        dot += static_cast<long double>(call.q[i * d + c]) * call.k[j * d + c];
      score[j] = static_cast<double>(dot) * args.scale;
    }
    const double max = cols == 0 ? none : *std::max_element(score.begin(), score.end());
    if (!(max > none)) continue;
    double sum = 0.0;
    for (const double s : score) sum += std::exp(s - max);
    result.lse[i] = max + std::log(sum);
    for (std::size_t j = 0; j < cols; ++j) {
      if (score[j] == none) continue;
      const double p = std::exp(score[j] - result.lse[i]);
      for (int c = 0; c < d; ++c) result.o[i * d + c] += p * call.v[j * d + c];
    }
  }
  return result;
}

/// Relative Frobenius error of O over the valid rows; infinity when a row's LSE is off by more than
/// `lse_tolerance` (relative to max(1, |LSE|)), or a float of a guard zone was written.
inline double ErrorOf(AttentionCase& call, const Dense& expected, double lse_tolerance) {
  const double bad = std::numeric_limits<double>::infinity();
  double difference = 0.0;
  double size = 0.0;
  const AttentionArgs& args = call.args;
  for (int b = 0; b < args.q_blocks; ++b) {
    for (int t = 0; t < args.block.q; ++t) {
      const std::size_t row = static_cast<std::size_t>(b) * args.block.q + t;
      const bool valid = t < call.q_tokens[b];
      for (int c = 0; c < args.head_dim; ++c) {
        const double got = call.O(b, t, c);
        if (!valid && got != kGuard) return bad;
        if (!valid) continue;
        const double want = expected.o[row * args.head_dim + c];
        difference += (got - want) * (got - want);
        size += want * want;
      }
      const double got = call.Lse(b, t);
      if (!valid && got != kGuard) return bad;
      if (!valid || got == expected.lse[row]) continue;
      const double limit = lse_tolerance * std::max(1.0, std::abs(expected.lse[row]));
      if (!(std::abs(got - expected.lse[row]) <= limit)) return bad;
    }
  }
  for (std::size_t i = 0; i < AttentionCase::kGuardFloats; ++i) {
    if (call.o[i] != kGuard || call.o[call.o.size() - 1 - i] != kGuard) return bad;
    if (call.lse[i] != kGuard || call.lse[call.lse.size() - 1 - i] != kGuard) return bad;
  }
  if (size == 0.0) return difference == 0.0 ? 0.0 : bad;
  return std::sqrt(difference / size);
}

}  // namespace dbsp::kernels::testing
