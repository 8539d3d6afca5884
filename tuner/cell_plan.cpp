// SPDX-License-Identifier: Apache-2.0
#include "tuner/cell_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "planner/placement/move_price.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/token_layout.h"
#include "tuner/checked_costs.h"
#include "tuner/kernel_selection.h"

namespace dbsp::tuner {
namespace {

/// Smallest gain, as a part of the predicted time, for which a partition balances the cost of rows
/// together with that of blocks. For smaller gains it balances active blocks only, because
/// contracts and the imbalance ratio count active blocks.
constexpr double kMinRowGain = 0.01;

/// Imbalance of the ranks' loads when an active row counts as `row_price` blocks: the largest load
/// over the mean, minus 1. 0 without a row price.
double ImbalanceWithRows(const LayerMasks& masks,
                         const Partition& partition,
                         double row_price,
                         const planner::LayerCounts* counts) {
  if (row_price <= 0) return 0;
  const std::vector<std::int64_t> load =
      planner::RankLoads(planner::RowLoadsOf(masks, row_price, counts), partition);
  const auto sum = static_cast<double>(std::accumulate(load.begin(), load.end(), std::int64_t{0}));
  const auto most = static_cast<double>(*std::ranges::max_element(load));
  return sum > 0 ? most * partition.ranks / sum - 1 : 0;
}

}  // namespace

HomeLayout HomeOf(const AttentionShape& shape,
                  const Strategy& strategy,
                  const SearchOptions& options) {
  return MakeHomeLayout(shape, PassRanks(options.ranks, strategy.cfg_degree));
}

Partition PartitionOf(const AttentionShape& shape,
                      const LayerMasks& masks,
                      const Strategy& strategy,
                      const planner::Costs& costs,
                      const SearchOptions& options,
                      const planner::LayerCounts* counts) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  std::optional<planner::LayerCounts> own;
  if (counts == nullptr) counts = &own.emplace(masks);
  planner::PartitionOptions partition = options.partition;
  partition.counts = counts;
  partition.dtype = options.dtype;
  partition.chunks = strategy.chunks;
  if (strategy.family == Family::kBalanced && strategy.ring_degree > 1) {
    partition.move_price =
        planner::MovePrice(shape, masks, strategy, home.ranks(), options.dtype, costs, counts);
  }
  const auto make = [&] {
    Partition made = planner::MakePartition(strategy.family,
                                            shape,
                                            masks,
                                            home.ranks(),
                                            strategy.ulysses_degree,
                                            strategy.ring_degree,
                                            home,
                                            partition);
    if (strategy.exchange != Exchange::kRing) {  // only a ring assigns columns to owners
      for (HeadGroup& group : made.groups) group.col_owner.clear();
    }
    return made;
  };
  Partition made = make();
  if (strategy.family != Family::kBalanced && strategy.family != Family::kPlaced) return made;
  partition.row_price = planner::RowPrice(shape, masks, strategy, home.ranks(), costs, counts);
  if (ImbalanceWithRows(masks, made, partition.row_price, counts) < kMinRowGain) return made;
  Partition weighted;
  try {
    weighted = make();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return made;  // the weighted partition exceeds the memory cap
  }
  const auto total_ns = [&](const Partition& of) {
    const auto work =
        planner::BuildLayerVolumes(shape, masks, of, strategy, home, options.dtype, 0, counts);
    const auto durations = planner::PriceLayer(work, costs, planner::Bound::kExpected);
    return static_cast<double>(planner::Makespan(work, durations, planner::RingSync::kNeighbour));
  };
  return total_ns(weighted) < (1 - kMinRowGain) * total_ns(made) ? weighted : made;
}

LayerMasks InLayoutOrder(const AttentionShape& shape,
                         const LayerMasks& masks,
                         const Strategy& strategy,
                         const SearchOptions& options) {
  return planner::Permuted(masks, options.layouts.at(strategy.layout), shape);
}

Prediction PredictOn(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const Partition& partition,
                     const Strategy& strategy,
                     const planner::Costs& costs,
                     const SearchOptions& options) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  const auto work = planner::BuildLayerVolumes(shape,
                                               InLayoutOrder(shape, masks, strategy, options),
                                               partition,
                                               strategy,
                                               home,
                                               options.dtype);
  return planner::Predict(work, shape, options.dtype, CheckedCosts(costs));
}

OrderedLayer::OrderedLayer(const AttentionShape& shape,
                           const LayerMasks& given,
                           const TokenLayout& layout)
    : masks(planner::Permuted(given, layout, shape)), counts(masks) {}

CellPlan MakeCellPlan(const AttentionShape& shape,
                      const LayerMasks& masks,
                      const Strategy& strategy,
                      const planner::Costs& costs,
                      const SearchOptions& options) {
  const OrderedLayer layer(shape, masks, options.layouts.at(strategy.layout));
  return MakeCellPlan(shape, layer, strategy, costs, options);
}

CellPlan MakeCellPlan(const AttentionShape& shape,
                      const OrderedLayer& layer,
                      const Strategy& strategy,
                      const planner::Costs& costs,
                      const SearchOptions& options,
                      std::optional<std::int64_t> must_move) {
  const HomeLayout home = HomeOf(shape, strategy, options);
  const CheckedCosts checked(costs);
  CellPlan plan;
  plan.partition = PartitionOf(shape, layer.masks, strategy, checked, options, &layer.counts);
  auto work = planner::BuildLayerVolumes(
      shape, layer.masks, plan.partition, strategy, home, options.dtype, must_move, &layer.counts);
  plan.kernel = options.kernels.empty()
                    ? strategy.kernel
                    : options.kernels[ChooseKernelFor(
                          strategy, work, options.kernels, options.kernels_without_lse, checked)];
  plan.prediction = planner::Predict(work, shape, options.dtype, checked);
  return plan;
}

}  // namespace dbsp::tuner
