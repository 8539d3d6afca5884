// SPDX-License-Identifier: Apache-2.0
// Cells of a workload: how many there may be, and which rule each one has.
#pragma once

#include <cstdint>
#include <vector>

#include "core/shape.h"
#include "core/status.h"

namespace dbsp {

/// Most (step, layer) cells of a workload, and most (step, layer, head) triples. The largest
/// published models have 3,200 cells and 80,000 triples.
inline constexpr std::int64_t kMaxCells = 1 << 20;
inline constexpr std::int64_t kMaxHeadCells = 1 << 24;
/// Most tokens of a sequence, text included.
inline constexpr std::int64_t kMaxTokens = 1LL << 30;

/// Checks the products of a shape's sizes against these limits.
/// requires every size at least 1 (text_tokens at least 0) and at most 2^31 - 1
[[nodiscard]] Status CheckSize(const ModelShape& model);

/// One range of cells with the index of their rule, as MaskAssignment.
struct CellRange {
  int rule = 0;
  int step_begin = 0;
  int step_end = 0;  ///< exclusive
  int layer_begin = 0;
  int layer_end = 0;  ///< exclusive
};

/// Rule of every cell, at step * layers + layer; -1 for a cell without one. The last range that
/// covers a cell decides. Takes time nearly proportional to the cells, plus the ranges times the
/// smaller of steps and layers. Ranges beyond steps and layers are cut.
/// requires steps and layers at least 1, steps * layers <= kMaxCells, no negative begin
[[nodiscard]] std::vector<int> LastCovers(int steps,
                                          int layers,
                                          const std::vector<CellRange>& ranges);

/// LastCovers() of mask assignments. A template, because core/workload.h uses this unit.
template <typename Assignment>
[[nodiscard]] std::vector<int> RuleIndices(const ModelShape& model,
                                           const std::vector<Assignment>& assignments) {
  std::vector<CellRange> ranges;
  ranges.reserve(assignments.size());
  for (const Assignment& a : assignments) {
    ranges.push_back({a.rule, a.step_begin, a.step_end, a.layer_begin, a.layer_end});
  }
  return LastCovers(model.steps, model.layers, ranges);
}

}  // namespace dbsp
