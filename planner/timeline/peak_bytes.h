// SPDX-License-Identifier: Apache-2.0
// Memory that a placement asks of every rank, and whether it keeps within a cap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

/// Bytes that each rank holds at once between the rounds: Q and O of its rows, the K/V it computes
/// on and, with a ring, the K/V being fetched beside them (the largest two steps in a row) and one
/// partial O. Exact tokens of `work`'s type; home tensors, send and receive buffers, log-sum-exps
/// and padding are not in it.
/// returns  [ranks]
[[nodiscard]] std::vector<std::int64_t> PeakBytes(const LayerVolumes& work);

/// Which rank holds most and how much, when that is more than `cap` bytes; "" otherwise.
[[nodiscard]] std::string MemoryProblem(const LayerVolumes& work, std::int64_t cap);

}  // namespace dbsp::planner
