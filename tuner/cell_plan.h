// SPDX-License-Identifier: Apache-2.0
// Partition and prediction of one candidate on the masks of one cell.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "planner/placement/families.h"
#include "planner/timeline/costs.h"
#include "planner/workload/layer_counts.h"

namespace dbsp::tuner {

/// Steps or layers, [begin, end).
struct IndexRange {
  int begin = 0;
  int end = 0;
};

struct SearchOptions {
  int ranks = 1;  ///< of all pass groups
  DType dtype = DType::kF32;
  IndexRange steps;
  IndexRange layers;
  /// Token layouts, indexed by Strategy::layout as in Plan::layouts.
  std::vector<TokenLayout> layouts = {{"given", {}}};
  planner::PartitionOptions partition;  ///< its memory_per_rank applies to every family
  /// Kernels that a cell may run, the default first. Partitions are made with the default kernel's
  /// price of a moved block (MovePrice), even for a cell that runs another kernel. Empty: every
  /// strategy runs its own kernel.
  std::vector<std::string> kernels = {};
  /// Kernels that write no log-sum-exp. Strategies that merge partial results do not run them.
  std::vector<std::string> kernels_without_lse = {};
  int threads = 1;
  /// Relative growth of rho that contracts allow (planner/timeline/contract.h).
  double contract_tolerance = 0.05;
  /// Time that a run needs to make a new plan. 0: plans are made ahead and every cell has its own.
  double replan_ns = 0;
  /// Called after every searched cell with the number of searched cells, one call at a time.
  std::function<void(std::int64_t)> on_cell = {};
};

/// Ranks of a pass group that own the tokens.
[[nodiscard]] HomeLayout HomeOf(const AttentionShape& shape,
                                const Strategy& strategy,
                                const SearchOptions& options);

/// Masks with rows and columns in the order of the strategy's token layout. Partitions, volumes and
/// contracts are made from these.
[[nodiscard]] LayerMasks InLayoutOrder(const AttentionShape& shape,
                                       const LayerMasks& masks,
                                       const Strategy& strategy,
                                       const SearchOptions& options);

/// Masks of a layer in the order of a token layout, with their counts.
struct OrderedLayer {
  OrderedLayer(const AttentionShape& shape, const LayerMasks& given, const TokenLayout& layout);
  const LayerMasks masks;
  const planner::LayerCounts counts;
};

/// The partition of a candidate on the ranks of a pass group. `masks` are in the order of its
/// layout, and `counts` are theirs if the caller has them. balanced takes the price of moved blocks
/// from `costs`. balanced and placed also balance the cost of rows where that shortens the
/// predicted total by one percent or more.
[[nodiscard]] Partition PartitionOf(const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    const Strategy& strategy,
                                    const planner::Costs& costs,
                                    const SearchOptions& options,
                                    const planner::LayerCounts* counts = nullptr);

/// Plan of one cell with one candidate.
struct CellPlan {
  Partition partition;
  Prediction prediction;
  std::string kernel;  ///< one of options.kernels; the strategy's own when that list is empty
};
/// Prediction of a partition on `masks` (in the given order), which may differ from the masks that
/// the partition was made for.
[[nodiscard]] Prediction PredictOn(const AttentionShape& shape,
                                   const LayerMasks& masks,
                                   const Partition& partition,
                                   const Strategy& strategy,
                                   const planner::Costs& costs,
                                   const SearchOptions& options);
/// Partition and prediction of a candidate on `masks` (in the given order), equal to what Search()
/// scored.
[[nodiscard]] CellPlan MakeCellPlan(const AttentionShape& shape,
                                    const LayerMasks& masks,
                                    const Strategy& strategy,
                                    const planner::Costs& costs,
                                    const SearchOptions& options);

/// The same from masks in the order of the strategy's layout. must_move: MustMoveBytes, if the
/// caller has them or does not need the lower bound.
[[nodiscard]] CellPlan MakeCellPlan(const AttentionShape& shape,
                                    const OrderedLayer& layer,
                                    const Strategy& strategy,
                                    const planner::Costs& costs,
                                    const SearchOptions& options,
                                    std::optional<std::int64_t> must_move = std::nullopt);

}  // namespace dbsp::tuner
