// SPDX-License-Identifier: Apache-2.0
// The numbers that a replay feeds into attention. Every element is a function of its own place
// (seed, tensor, step, layer, head, token, dim), so a rank makes its part, and the reference makes
// the whole, without exchanging anything.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/shape.h"
#include "planner/timeline/schedule.h"
#include "planner/workload/token_layout.h"

namespace dbsp::replay {

/// Which layer's numbers.
struct FillKey {
  std::uint64_t seed = 0;
  int step = 0;
  int layer = 0;
  DType dtype = DType::kF32;  ///< values are rounded to it
  /// Which token stands where the numbers go; none = as given.
  std::shared_ptr<const planner::TokenOrder> order = nullptr;
  int pass = 0;  ///< guidance pass: each has numbers of its own
};

/// Fills one token of one head: the one that stands at position `token`.
/// shape  out [head_dim]; element i does not depend on the length of `out`
/// units  uniform in (-sqrt 3, sqrt 3): mean 0, variance 1, so that with scale 1 / sqrt(head_dim)
///        scores have variance 1 and every kept key matters
/// source splitmix64's finaliser over a Weyl sequence: Steele, Lea, Flood, "Fast splittable
///        pseudorandom number generators", OOPSLA 2014
void FillRow(
    const FillKey& key, planner::Tensor tensor, int head, std::int64_t token, std::span<float> out);

/// Fills tokens of all heads as bf16, on `threads` threads of the host (parallel.h).
/// shape    out [tokens][shape.heads][shape.head_dim]
/// requires key.dtype is kBf16
void FillTokens(const FillKey& key,
                planner::Tensor tensor,
                const AttentionShape& shape,
                std::int64_t first_token,
                int threads,
                std::span<std::uint16_t> out);

}  // namespace dbsp::replay
