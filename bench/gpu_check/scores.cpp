// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/scores.h"

#include <cmath>

#include "core/bf16.h"
#include "planner/workload/rules/prng.h"

namespace dbsp::gpu_check {
namespace {

constexpr double kHighest = 60.0;  ///< the largest score, and twice the last one of kGrowing
constexpr double kNoise = 0.1;  ///< of every element but the first of kGrowing and kLarge

/// Uniform in [-1, 1).
double Symmetric(planner::Prng& prng) { return 2.0 * prng.Uniform() - 1.0; }

/// The first element of a query is +-1 and that of a key the wanted score, so that their product
/// gives the score. All other elements are noise.
std::vector<double> FirstElements(Scores scores, int tokens, double scale, planner::Prng& prng) {
  std::vector<double> first(static_cast<std::size_t>(tokens));
  for (int token = 0; token < tokens; ++token) {
    const double along = tokens == 1 ? 1.0 : static_cast<double>(token) / (tokens - 1);
    const double score = scores == Scores::kGrowing ? kHighest * (along - 0.5)
                                                    : (prng.Below(2) == 0 ? kHighest : -kHighest);
    first[static_cast<std::size_t>(token)] = score / scale;
  }
  return first;
}

}  // namespace

const char* NameOf(Scores scores) {
  switch (scores) {
    case Scores::kNormal:
      return "normal";
    case Scores::kGrowing:
      return "growing";
    case Scores::kOneHot:
      return "one-hot";
    case Scores::kLarge:
      return "large";
  }
  return "";
}

ScoreRows RowsWithScores(Scores scores,
                         const kernels::gpu::AttentionShape& shape,
                         std::uint64_t seed) {
  const auto dim = static_cast<std::size_t>(shape.head_dim);
  const auto scale = static_cast<double>(shape.scale);
  ScoreRows rows;
  for (int head = 0; head < shape.batch * shape.heads; ++head) {
    planner::Prng prng{seed, static_cast<std::uint64_t>(head), 17};
    const std::size_t first_key = rows.k.size();
    if (scores == Scores::kOneHot) {
      // Keys of +-1 have the squared norm head_dim and nearly orthogonal directions.
      for (std::size_t i = 0; i < dim * static_cast<std::size_t>(shape.k_tokens); ++i) {
        rows.k.push_back(ToBf16(prng.Below(2) == 0 ? 1.0F : -1.0F));
      }
      const auto length = static_cast<float>(kHighest / (scale * shape.head_dim));
      for (int token = 0; token < shape.q_tokens; ++token) {
        const std::size_t key = prng.Below(static_cast<std::uint64_t>(shape.k_tokens));
        for (std::size_t d = 0; d < dim; ++d) {
          rows.q.push_back(ToBf16(length * FromBf16(rows.k[first_key + key * dim + d])));
        }
      }
      continue;
    }
    const auto append = [&](std::vector<std::uint16_t>& to, double first) {
      to.push_back(ToBf16(static_cast<float>(first)));
      for (std::size_t d = 1; d < dim; ++d) {
        to.push_back(ToBf16(static_cast<float>(kNoise * Symmetric(prng))));
      }
    };
    for (const double first : FirstElements(scores, shape.k_tokens, scale, prng)) {
      append(rows.k, first);
    }
    for (int token = 0; token < shape.q_tokens; ++token) {
      append(rows.q, scores == Scores::kLarge && prng.Below(2) == 0 ? -1.0 : 1.0);
    }
  }
  return rows;
}

}  // namespace dbsp::gpu_check
