// SPDX-License-Identifier: Apache-2.0
// Memory that a placement needs on every rank, and the check against a limit.
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

/// Bytes that each rank holds at once between the rounds: Q and O of its rows and the K/V that it
/// computes on. With a ring also the K/V that the next hop fetches (the largest two consecutive
/// steps count) and one partial O. Token counts are exact. Home tensors, send and receive buffers,
/// log-sum-exps and padding are not included.
/// returns  [ranks]
[[nodiscard]] std::vector<std::int64_t> PeakBytes(const LayerVolumes& work);

/// Ok if no rank holds more than `cap` bytes; otherwise names the rank that holds the most.
[[nodiscard]] Status CheckMemory(const LayerVolumes& work, std::int64_t cap);

}  // namespace dbsp::planner
