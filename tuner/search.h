// SPDX-License-Identifier: Apache-2.0
// Exhaustive search: every candidate on every distinct (step, layer) of a workload.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/placement/families.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/candidates.h"

namespace dbsp::tuner {

/// Steps or layers, [begin, end).
struct IndexRange {
  int begin = 0;
  int end = 0;
};

struct SearchOptions {
  int ranks = 1;  ///< of all pass groups together
  DType dtype = DType::kF32;
  IndexRange steps;
  IndexRange layers;
  /// Token layouts that strategies refer to, as in Plan::layouts.
  std::vector<TokenLayout> layouts = {{"given", {}}};
  planner::PartitionOptions partition;  ///< memory_per_rank holds for every family
  /// Kernels that a cell may run, the default first. Partitions are made with the default's price
  /// of a moved block (MovePrice), whichever kernel a cell then runs. Empty: every strategy's own.
  std::vector<std::string> kernels = {};
  int threads = 1;
  /// Contracts let rho grow by this part (planner/timeline/contract.h).
  double contract_tolerance = 0.05;
  /// What a new plan costs a run; 0 = plans are made ahead, every cell has its own.
  double replan_ns = 0;
};

/// Cells whose masks are equal: searched once.
struct CellClass {
  int step = 0;  ///< its first cell
  int layer = 0;
  std::int64_t cells = 0;
  std::vector<Score> scores;  ///< [candidate]; of an excluded one meaningless
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
  TokenDistribution residence;  ///< of all chosen strategies: tokens have one place in a whole plan
  int uniform = 0;  ///< best candidate of the residence when one is used everywhere

  /// Kernel of a candidate on a class.
  [[nodiscard]] const std::string& KernelOf(const CellClass& cls, std::size_t candidate) const {
    if (kernels.empty()) return candidates[candidate].strategy.kernel;
    return kernels[cls.scores[candidate].kernel];
  }
  /// What the scores of a candidate, of one pass, are multiplied by to compare cfg degrees.
  [[nodiscard]] int TurnsOf(std::size_t candidate) const {
    return SequentialWaves(passes, candidates[candidate].strategy.cfg_degree);
  }
};

/// Masks in the order of the strategy's layout: what its partition, amounts and contract are of.
[[nodiscard]] LayerMasks LaidOut(const AttentionShape& shape,
                                 const LayerMasks& masks,
                                 const Strategy& strategy,
                                 const SearchOptions& options);

/// Scores every candidate on every distinct cell and chooses: for every residence (token layout and
/// cfg degree) the best candidate of each cell, then the residence with the smallest sum over cells
/// times turns; of equal ones that of the first candidate. Cells are told apart by
/// MaskSource::KeyAt where it answers and by the content of the masks; at most `threads` layers of
/// masks are held at a time. A candidate that cannot be partitioned or priced on any cell is
/// excluded everywhere, with the reason; so is one for which the costs answer with anything but
/// finite, ordered, non-negative numbers.
/// requires ranges inside the workload and not empty
/// errors   whatever MaskSource::At throws; Error{kNotFound} when no candidate is left
/// threads  uses `threads` of its own; costs are asked from all of them
[[nodiscard]] SearchResult Search(const Workload& workload,
                                  planner::MaskSource& masks,
                                  const planner::Costs& costs,
                                  std::vector<Candidate> candidates,
                                  const SearchOptions& options);

/// The partition of a candidate for masks in its layout's order, on the ranks of a pass group;
/// balanced weighs moves at `costs`, and both balanced and placed rows, where that takes a percent
/// off the predicted total. `sums` are of these masks, where the caller has them.
[[nodiscard]] Partition PartitionOf(const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    const Strategy& strategy,
                                    const planner::Costs& costs,
                                    const SearchOptions& options,
                                    planner::MaskSums* sums = nullptr);

/// Partition and prediction of one candidate for one cell's masks (as given), as Search scored it.
struct CellPlan {
  Partition partition;
  Prediction prediction;
  std::string kernel;  ///< chosen among options.kernels; the strategy's own where there are none
};
/// Prediction of a partition, whichever masks it was made for, on these.
[[nodiscard]] Prediction PredictOn(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const Partition& partition,
                                   const Strategy& strategy,
                                   const planner::Costs& costs,
                                   const SearchOptions& options);
[[nodiscard]] CellPlan PlanCellOf(const AttentionShape& shape,
                                  const LayerMasks& masks,
                                  const Strategy& strategy,
                                  const planner::Costs& costs,
                                  const SearchOptions& options);

}  // namespace dbsp::tuner
