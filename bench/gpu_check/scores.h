// SPDX-License-Identifier: Apache-2.0
// Queries and keys whose scores are hard for a streaming softmax.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gpu/attention.h"

namespace dbsp::gpu_check {

enum class Scores : std::uint8_t {
  kNormal,  ///< of normal queries and keys
  kGrowing,  ///< from about -30 to 30 along the keys: the row maximum grows at every step
  kOneHot,  ///< one key of a row has about 60, the others about 0: O is one row of V
  kLarge,  ///< about 60 or -60, half of each
};
[[nodiscard]] const char* NameOf(Scores scores);

/// bf16 rows without gaps: q [batch][heads][q_tokens][head_dim], k the same with k_tokens. The
/// scores are those after the multiplication with shape.scale, with some noise.
struct ScoreRows {
  std::vector<std::uint16_t> q;
  std::vector<std::uint16_t> k;
};
/// requires scores other than kNormal
[[nodiscard]] ScoreRows RowsWithScores(Scores scores,
                                       const kernels::gpu::AttentionShape& shape,
                                       std::uint64_t seed);

}  // namespace dbsp::gpu_check
