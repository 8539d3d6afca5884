// SPDX-License-Identifier: Apache-2.0
#include "tuner/fallback.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "planner/placement/families.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/peak_bytes.h"
#include "tuner/kernel_selection.h"

namespace dbsp::tuner {
namespace {

/// True for families whose partitions do not depend on masks.
bool IgnoresMasks(Family family) {
  return family == Family::kUlysses || family == Family::kRing || family == Family::kUsp;
}

LayerMasks FullMasks(const AttentionShape& shape) {
  LayerMasks masks;
  masks.head.assign(
      shape.heads,
      std::make_shared<BlockMask>(BlockMask::Full(shape.q_blocks(), shape.k_blocks())));
  return masks;
}

planner::LayerVolumes FullWork(const AttentionShape& shape,
                               const Partition& partition,
                               const Strategy& strategy,
                               DType dtype) {
  const HomeLayout home = MakeHomeLayout(shape, partition.ranks);
  return planner::BuildLayerVolumes(shape, FullMasks(shape), partition, strategy, home, dtype, 0);
}

/// Candidates whose partitions do not depend on masks, the fastest over the workload first.
std::vector<Strategy> Searched(const SearchResult& result) {
  std::vector<std::pair<double, Strategy>> found;
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const Candidate& candidate = result.candidates[i];
    if (!candidate.excluded.empty() || !IgnoresMasks(candidate.strategy.family) ||
        DistributionOf(candidate.strategy) != result.distribution) {
      continue;
    }
    double total = 0;
    for (const CellClass& cls : result.classes) {
      total += static_cast<double>(cls.scores[i].total_ns) * static_cast<double>(cls.cells);
    }
    found.emplace_back(total, candidate.strategy);
  }
  std::ranges::stable_sort(found, {}, &std::pair<double, Strategy>::first);
  std::vector<Strategy> strategies;
  for (auto& [total, strategy] : found) strategies.push_back(std::move(strategy));
  return strategies;
}

/// Every U x R strategy of contiguous heads and rows, whether it was a candidate or not.
std::vector<Strategy> Plain(const SearchResult& result) {
  std::vector<Strategy> strategies;
  for (const auto& [ulysses, ring] :
       planner::DegreesOf(Family::kUsp,
                          PassRanks(result.ranks, result.distribution.cfg_degree),
                          result.shape.heads)) {
    Strategy strategy;
    strategy.cfg_degree = result.distribution.cfg_degree;
    strategy.family = ring == 1 ? Family::kUlysses : ulysses == 1 ? Family::kRing : Family::kUsp;
    strategy.ulysses_degree = ulysses;
    strategy.ring_degree = ring;
    strategy.exchange = planner::ExchangeOf(strategy.family, ring);
    strategy.layout = result.distribution.layout;
    if (!result.candidates.empty()) strategy.kernel = result.candidates.front().strategy.kernel;
    strategies.push_back(std::move(strategy));
  }
  return strategies;
}

}  // namespace

Fallback ChooseFallback(const SearchResult& result,
                        const planner::Costs& costs,
                        const SearchOptions& options) {
  const std::int64_t cap = options.partition.memory_per_rank;
  const LayerMasks full = FullMasks(result.shape);
  std::vector<Strategy> strategies = Searched(result);
  for (Strategy& plain : Plain(result)) strategies.push_back(std::move(plain));
  DBSP_CHECK(!strategies.empty());
  // A fallback that merges runs a kernel with log-sum-exp, or is none.
  std::erase_if(strategies, [&](Strategy& strategy) {
    const auto without = [&](const std::string& kernel) {
      return std::ranges::find(options.kernels_without_lse, kernel) !=
             options.kernels_without_lse.end();
    };
    if (!MergesPartialResults(strategy) || !without(strategy.kernel)) return false;
    const auto other = std::ranges::find_if_not(options.kernels, without);
    if (other != options.kernels.end()) strategy.kernel = *other;
    return other == options.kernels.end();
  });
  if (strategies.empty()) {
    Fail(ErrorCode::kNotFound,
         "no fallback: {} ranks need a ring, and no kernel writes a log-sum-exp; measure one that "
         "does",
         result.ranks);
  }
  std::optional<Fallback> smallest;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (Strategy& strategy : strategies) {
    Fallback fallback{strategy, PartitionOf(result.shape, full, strategy, costs, options)};
    if (cap == 0) return fallback;
    const std::vector<std::int64_t> peak = planner::PeakBytes(
        FullWork(result.shape, fallback.partition, fallback.strategy, options.dtype));
    const std::int64_t most = *std::ranges::max_element(peak);
    if (most <= cap) return fallback;
    if (most >= least) continue;
    least = most;
    smallest = std::move(fallback);
  }
  return std::move(*smallest);
}

Status CheckFallback(const Plan& plan, std::int64_t memory_per_rank) {
  if (memory_per_rank == 0 || plan.contracts.empty()) return {};
  const Strategy& strategy = plan.strategies[plan.contracts.front().fallback];
  const Partition& partition = plan.partitions[strategy.partition];
  return planner::CheckMemory(FullWork(plan.shape, partition, strategy, plan.dtype),
                              memory_per_rank);
}

}  // namespace dbsp::tuner
