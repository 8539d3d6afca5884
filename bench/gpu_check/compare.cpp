// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/bf16.h"
#include "core/error.h"
#include "core/parallel_for.h"

namespace dbsp::gpu_check {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The keys that the entries of a tile cover, up to the last token.
std::vector<int> KeysOf(std::span<const std::int32_t> entries, const Blocks& blocks) {
  std::vector<int> keys;
  for (const std::int32_t entry : entries) {
    const int first = entry * blocks.k_block;
    const int last = std::min(first + blocks.k_block, blocks.k_tokens);
    for (int key = first; key < last; ++key) keys.push_back(key);
  }
  return keys;
}

/// Attention of one query over `keys`; o [head_dim].
void AttendRow(const HeadInput& input,
               int head_dim,
               double scale,
               int query,
               const std::vector<int>& keys,
               double* o,
               double* lse) {
  const auto dim = static_cast<std::size_t>(head_dim);
  std::vector<double> scores;
  scores.reserve(keys.size());
  double highest = -kInfinity;
  for (const int key : keys) {
    double score = 0.0;
    for (std::size_t d = 0; d < dim; ++d) {
      score += static_cast<double>(FromBf16(input.q[query * dim + d])) *
               static_cast<double>(FromBf16(input.k[key * dim + d]));
    }
    scores.push_back(scale * score);
    highest = std::max(highest, scores.back());
  }
  std::fill(o, o + dim, 0.0);
  *lse = -kInfinity;
  if (keys.empty()) return;
  double sum = 0.0;
  for (const double score : scores) sum += std::exp(score - highest);
  *lse = highest + std::log(sum);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const double weight = std::exp(scores[i] - *lse);
    for (std::size_t d = 0; d < dim; ++d) {
      o[d] += weight * static_cast<double>(FromBf16(input.v[keys[i] * dim + d]));
    }
  }
}

}  // namespace

Reference ReferenceOnCpu(const HeadInput& input,
                         int head_dim,
                         double scale,
                         const Lists& lists,
                         std::int64_t first_tile,
                         const Blocks& blocks,
                         int threads) {
  Reference result;
  result.o.resize(static_cast<std::size_t>(blocks.q_tokens) * head_dim);
  result.lse.resize(blocks.q_tokens);
  const auto work = [&](int thread) {
    for (int block = thread; block < blocks.rows(); block += threads) {
      const std::vector<int> keys = KeysOf(lists.Tile(first_tile + block), blocks);
      const int last = std::min((block + 1) * blocks.q_block, blocks.q_tokens);
      for (int query = block * blocks.q_block; query < last; ++query) {
        double* o = result.o.data() + static_cast<std::ptrdiff_t>(query) * head_dim;
        AttendRow(input, head_dim, scale, query, keys, o, &result.lse[query]);
      }
    }
  };
  ParallelFor(threads, threads, work);
  return result;
}

std::string Verdict::Text() const {
  return fmt::format("relative error {:.2e}, LSE error {:.2e}{}",
                     relative_error,
                     lse_error,
                     wrong_empty_rows == 0
                         ? std::string()
                         : fmt::format(", {} rows without keys are not empty", wrong_empty_rows));
}

Verdict Compare(std::span<const std::uint16_t> o,
                std::span<const float> lse,
                std::span<const double> reference_o,
                std::span<const double> reference_lse,
                int head_dim) {
  DBSP_CHECK(o.size() == reference_o.size() && lse.size() == reference_lse.size());
  Verdict verdict;
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t row = 0; row < lse.size(); ++row) {
    const double expected = reference_lse[row];
    bool zero = true;
    for (std::size_t d = 0; d < static_cast<std::size_t>(head_dim); ++d) {
      const double value = FromBf16(o[row * head_dim + d]);
      const double reference = reference_o[row * head_dim + d];
      zero = zero && value == 0.0;
      error += (value - reference) * (value - reference);
      norm += reference * reference;
    }
    if (expected == -kInfinity) {
      const bool empty = zero && static_cast<double>(lse[row]) == -kInfinity;
      verdict.wrong_empty_rows += empty ? 0 : 1;
      continue;
    }
    const double difference = std::abs(static_cast<double>(lse[row]) - expected);
    verdict.lse_error =
        std::max(verdict.lse_error, std::isfinite(difference) ? difference : kInfinity);
  }
  verdict.relative_error = norm > 0.0 ? std::sqrt(error / norm) : (error == 0.0 ? 0.0 : kInfinity);
  if (std::isnan(verdict.relative_error)) verdict.relative_error = kInfinity;
  return verdict;
}

}  // namespace dbsp::gpu_check
