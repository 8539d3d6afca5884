// SPDX-License-Identifier: Apache-2.0
// FG-Attn's two predictors of key lists. The compiler vectorises the loops.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "kernels/key_cdf.h"
#include "kernels/key_lists.h"

namespace dbsp::kernels {
namespace {

struct Sizes {
  int queries = 0;
  int keys = 0;
  int rows = 0;
};

Sizes Check(const ScoreInput& input, int q_block, const char* what) {
  const auto dim = static_cast<std::size_t>(std::max(input.head_dim, 0));
  if (dim == 0 || q_block < 1 || input.q.size() % dim != 0 || input.k.size() % dim != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: {} and {} floats with head_dim {} and blocks of {} queries; expected whole rows",
         what,
         input.q.size(),
         input.k.size(),
         input.head_dim,
         q_block);
  }
  Sizes sizes;
  sizes.queries = static_cast<int>(input.q.size() / dim);
  sizes.keys = static_cast<int>(input.k.size() / dim);
  sizes.rows = (sizes.queries + q_block - 1) / q_block;
  return sizes;
}

/// Uses eight partial sums, so that the additions of a dot product are independent.
float Dot(const float* a, const float* b, int dim) {
  float sum[8] = {};
  int c = 0;
  for (; c + 8 <= dim; c += 8) {
    for (int i = 0; i < 8; ++i) sum[i] += a[c + i] * b[c + i];
  }
  for (; c < dim; ++c) sum[0] += a[c] * b[c];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

void Scores(const ScoreInput& input, const float* q, std::vector<float>& scores) {
  for (std::size_t j = 0; j < scores.size(); ++j) {
    scores[j] =
        input.scale *
        Dot(q, input.k.data() + j * static_cast<std::size_t>(input.head_dim), input.head_dim);
  }
}

double LogSumExp(const std::vector<float>& scores) {
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0.0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - max);
  return max + std::log(sum);
}

/// Sets the bits of the scores above `cut`, a word at a time.
void OrAbove(const std::vector<float>& scores, double cut, std::span<std::uint64_t> words) {
  for (std::size_t w = 0; w < words.size(); ++w) {
    const std::size_t first = w * 64;
    const std::size_t count = std::min<std::size_t>(64, scores.size() - first);
    std::uint64_t word = 0;
    for (std::size_t j = 0; j < count; ++j) {
      word |= static_cast<std::uint64_t>(scores[first + j] > cut) << j;
    }
    words[w] |= word;
  }
}

}  // namespace

BlockMask KeysAboveThreshold(const ScoreInput& input, int q_block, float threshold) {
  const Sizes sizes = Check(input, q_block, "keys above a threshold");
  if (!(threshold > 0.0F && threshold < 1.0F)) {
    Fail(
        ErrorCode::kInvalidArgument,
        "keys above a threshold: threshold is {}, expected a number between 0 and 1, both excluded",
        threshold);
  }
  BlockMask bits(sizes.rows, sizes.keys);
  if (sizes.keys == 0) return bits;
  std::vector<float> scores(sizes.keys);
  for (int i = 0; i < sizes.queries; ++i) {
    Scores(input, input.q.data() + static_cast<std::size_t>(i) * input.head_dim, scores);
    OrAbove(scores,
            LogSumExp(scores) + std::log(static_cast<double>(threshold)),
            bits.mutable_row(i / q_block));
  }
  return bits;
}

void TopCdfRow(std::span<const float> scores, float tau, std::span<std::uint64_t> words) {
  if (scores.empty()) return;
  const float max = *std::max_element(scores.begin(), scores.end());
  std::vector<std::uint32_t> weights(scores.size());
  for (std::size_t j = 0; j < scores.size(); ++j) {
    weights[j] = CdfWeight(std::exp(scores[j] - max));
  }
  std::uint64_t total = 0;
  for (const std::uint32_t w : weights) total += w;
  const std::uint64_t target = CdfTarget(total, tau);
  // Finds the digits of the cut from the highest one down.
  std::uint32_t cut = 0;
  std::uint64_t above = 0;
  for (int digit = kCdfDigits - 1; digit >= 0; --digit) {
    std::uint64_t sums[kCdfBins] = {};
    for (const std::uint32_t w : weights) {
      if (CdfPrefixMatches(w, cut, digit)) sums[CdfDigit(w, digit)] += w;
    }
    const CdfChoice choice = ChooseCdfDigit(sums, 1, above, target);
    above = choice.above;
    cut |= static_cast<std::uint32_t>(choice.digit) << (digit * kCdfDigitBits);
  }
  for (std::size_t j = 0; j < weights.size(); ++j) {
    words[j / 64] |= static_cast<std::uint64_t>(weights[j] >= cut) << (j % 64);
  }
}

BlockMask KeysOfTopCdf(const ScoreInput& input, int q_block, float tau) {
  const Sizes sizes = Check(input, q_block, "keys by top-CDF");
  if (!(tau > 0.0F && tau <= 1.0F)) {
    Fail(ErrorCode::kInvalidArgument, "keys by top-CDF: tau {} is outside (0, 1]", tau);
  }
  BlockMask bits(sizes.rows, sizes.keys);
  const auto dim = static_cast<std::size_t>(input.head_dim);
  std::vector<float> scores(sizes.keys);
  std::vector<float> pooled(dim);
  for (int b = 0; b < sizes.rows; ++b) {
    const int first = b * q_block;
    const int count = std::min(q_block, sizes.queries - first);
    std::fill(pooled.begin(), pooled.end(), 0.0F);
    for (int i = first; i < first + count; ++i) {
      const float* q = input.q.data() + static_cast<std::size_t>(i) * dim;
      for (std::size_t c = 0; c < dim; ++c) pooled[c] += q[c];
    }
    for (float& value : pooled) value /= static_cast<float>(count);
    Scores(input, pooled.data(), scores);
    TopCdfRow(scores, tau, bits.mutable_row(b));
  }
  return bits;
}

}  // namespace dbsp::kernels
