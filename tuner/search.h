// SPDX-License-Identifier: Apache-2.0
// Exhaustive search: scores every candidate on every distinct (step, layer) of a workload.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/candidates.h"
#include "tuner/cell_plan.h"

namespace dbsp::tuner {

/// Cells with equal masks, which are searched once.
struct CellClass {
  int step = 0;  ///< its first cell
  int layer = 0;
  std::int64_t cells = 0;
  std::vector<Score> scores;  ///< [candidate]; undefined for excluded candidates
  Choice choice;
};

struct SearchCell {
  int step = 0;
  int layer = 0;
  int cls = 0;  ///< index into SearchResult::classes
};

struct SearchResult {
  AttentionShape shape;
  int ranks = 1;
  int passes = 1;
  std::vector<Candidate> candidates;
  std::vector<std::string> kernels;  ///< as SearchOptions::kernels
  std::vector<CellClass> classes;  ///< by first cell
  std::vector<SearchCell> cells;  ///< by step, then layer
  TokenDistribution distribution;  ///< the one that all chosen strategies share
  int uniform = 0;  ///< best candidate of that distribution when all cells run the same one

  /// Kernel that a candidate runs on a class.
  [[nodiscard]] const std::string& KernelOf(const CellClass& cls, std::size_t candidate) const {
    if (kernels.empty()) return candidates[candidate].strategy.kernel;
    return kernels[cls.scores[candidate].kernel];
  }
  /// Number of waves of guidance passes with a candidate's cfg degree. A score is the time of one
  /// pass, so candidates of different cfg degrees are compared by score times waves.
  [[nodiscard]] int WavesOf(std::size_t candidate) const {
    return SequentialWaves(passes, candidates[candidate].strategy.cfg_degree);
  }
};

/// Scores every candidate on every distinct cell. Chooses for every token distribution the best
/// candidate of each cell, and then the distribution with the smallest sum over cells times waves;
/// of equal sums that of the first candidate. Cells are compared by MaskSource::KeyAt where the
/// source has keys, else by the content of their masks. At most `threads` layers of masks are in
/// memory at a time. A candidate that cannot be partitioned or priced on some cell is excluded from
/// all cells, with the reason. The same holds when a cost is not finite, negative or out of order.
/// requires ranges inside the workload and not empty
/// errors   whatever MaskSource::At throws; Error{kNotFound} when every candidate is excluded
/// threads  starts options.threads threads, which call `costs` concurrently
[[nodiscard]] SearchResult Search(const Workload& workload,
                                  planner::MaskSource& masks,
                                  const planner::Costs& costs,
                                  std::vector<Candidate> candidates,
                                  const SearchOptions& options);

}  // namespace dbsp::tuner
