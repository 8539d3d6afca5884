// SPDX-License-Identifier: Apache-2.0
// Synthetic Q, K and V of a replay. Every element is a function of its index (seed, tensor, step,
// layer, pass, head, token, channel). A rank can therefore generate its part, and the reference the
// whole tensor, without communication.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/shape.h"
#include "planner/timeline/schedule.h"
#include "planner/workload/token_layout.h"

namespace dbsp::replay {

/// Identifies the inputs of one layer and pass.
struct InputKey {
  std::uint64_t seed = 0;
  int step = 0;
  int layer = 0;
  DType dtype = DType::kF32;  ///< values are rounded to this type
  /// Token at each position of the plan's token layout; null where the layout is the workload's.
  std::shared_ptr<const planner::TokenOrder> order = nullptr;
  int pass = 0;  ///< guidance pass; every pass has its own values
};

/// Fills the row of one head at position `token`.
/// shape  out [head_dim]; element i does not depend on the length of `out`
/// units  uniform in (-sqrt 3, sqrt 3): mean 0, variance 1, so that with scale 1 / sqrt(head_dim)
///        scores have variance 1 and every key of an active block contributes
/// source splitmix64's finaliser over a Weyl sequence: Steele, Lea, Flood, "Fast splittable
///        pseudorandom number generators", OOPSLA 2014
void FillRow(const InputKey& key,
             planner::Tensor tensor,
             int head,
             std::int64_t token,
             std::span<float> out);

/// Fills rows of all heads as bf16, on `threads` threads of the host (parallel.h).
/// shape    out [tokens][shape.heads][shape.head_dim]
/// requires key.dtype is kBf16
void FillTokens(const InputKey& key,
                planner::Tensor tensor,
                const AttentionShape& shape,
                std::int64_t first_token,
                int threads,
                std::span<std::uint16_t> out);

}  // namespace dbsp::replay
