// SPDX-License-Identifier: Apache-2.0
// Cells of a workload: how many there may be, and which rule each one has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/workload.h"

namespace dbsp {

/// Most (step, layer) cells of a workload, and most (step, layer, head) triples. The largest
/// published models have 3,200 cells and 80,000 triples.
inline constexpr std::int64_t kMaxCells = 1 << 20;
inline constexpr std::int64_t kMaxHeadCells = 1 << 24;
/// Most tokens of a sequence, text included.
inline constexpr std::int64_t kMaxTokens = 1LL << 30;

/// Checks the products of a shape's sizes against these limits.
/// requires every size at least 1 (text_tokens at least 0) and at most 2^31 - 1
/// returns  the problem as a sentence with the numbers, or "" for a shape within the limits
[[nodiscard]] std::string SizeProblem(const ModelShape& model);

/// Index into Workload::rules for every cell, at step * layers + layer; -1 for a cell without one.
/// The last assignment that covers a cell decides. Takes time proportional to the cells, plus the
/// assignments times the smaller of steps and layers.
/// Assignments beyond the model's steps and layers are cut.
/// requires SizeProblem(workload.model) == ""; no negative begin
[[nodiscard]] std::vector<int> RuleIndices(const Workload& workload);

}  // namespace dbsp
