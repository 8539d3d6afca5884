// SPDX-License-Identifier: Apache-2.0
#include "core/workload_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace dbsp {
namespace {

/// Cells of one line (the longer axis) that have no rule yet. Next(i) is the first one at or after
/// i. Filled cells are skipped, so all fills together take nearly linear time.
class OpenCells {
 public:
  explicit OpenCells(int count) : next_(static_cast<std::size_t>(count) + 1) {
    std::iota(next_.begin(), next_.end(), 0);
  }
  int Next(int i) {
    int root = i;
    while (next_[root] != root) root = next_[root];
    while (next_[i] != root) i = std::exchange(next_[i], root);
    return root;
  }
  void Fill(int i) { next_[i] = i + 1; }

 private:
  std::vector<int> next_;
};

}  // namespace

Status CheckSize(const ModelShape& model) {
  const std::int64_t plane = static_cast<std::int64_t>(model.grid.height) * model.grid.width;
  const bool tokens_fit = plane <= kMaxTokens / model.grid.frames && model.tokens() <= kMaxTokens;
  if (!tokens_fit) {
    return Problem("a grid of {} x {} x {} and {} text tokens: at most {} tokens",
                   model.grid.frames,
                   model.grid.height,
                   model.grid.width,
                   model.text_tokens,
                   kMaxTokens);
  }
  const std::int64_t cells = static_cast<std::int64_t>(model.steps) * model.layers;
  if (cells > kMaxCells) {
    return Problem("{} steps x {} layers: at most {} cells, found {}",
                   model.steps,
                   model.layers,
                   kMaxCells,
                   cells);
  }
  if (cells > kMaxHeadCells / model.heads) {
    return Problem("{} steps x {} layers x {} heads: at most {} masks",
                   model.steps,
                   model.layers,
                   model.heads,
                   kMaxHeadCells);
  }
  return {};
}

std::vector<int> LastCovers(int steps, int layers, const std::vector<CellRange>& ranges) {
  const bool by_layer = layers < steps;  // lines run along the longer axis
  const int lines = std::min(steps, layers);
  std::vector<OpenCells> open(lines, OpenCells(std::max(steps, layers)));
  std::int64_t left = static_cast<std::int64_t>(steps) * layers;
  std::vector<int> indices(static_cast<std::size_t>(left), -1);
  // From the last range to the first, each one fills the cells that are still open.
  for (auto a = ranges.rbegin(); a != ranges.rend() && left > 0; ++a) {
    const int line_begin = by_layer ? a->layer_begin : a->step_begin;
    const int line_end = std::min(by_layer ? a->layer_end : a->step_end, lines);
    const int begin = by_layer ? a->step_begin : a->layer_begin;
    const int end = std::min(by_layer ? a->step_end : a->layer_end, std::max(steps, layers));
    for (int line = line_begin; line < line_end; ++line) {
      for (int i = begin < end ? open[line].Next(begin) : end; i < end; i = open[line].Next(i)) {
        const std::int64_t step = by_layer ? i : line;
        const std::int64_t layer = by_layer ? line : i;
        indices[static_cast<std::size_t>(step * layers + layer)] = a->rule;
        open[line].Fill(i);
        --left;
      }
    }
  }
  return indices;
}

}  // namespace dbsp
