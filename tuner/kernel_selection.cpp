// SPDX-License-Identifier: Apache-2.0
#include "tuner/kernel_selection.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "planner/timeline/timeline.h"

namespace dbsp::tuner {
namespace {

using Prices = std::vector<std::vector<double>>;  ///< [steps][rank] of attention

void SetKernel(planner::LayerVolumes& work, const std::string& kernel) {
  for (auto& step : work.attention) {
    for (planner::AttentionWork& part : step) part.kernel = kernel;
  }
}

Prices PriceAttention(const planner::LayerVolumes& work, const planner::Costs& costs) {
  Prices prices;
  for (const auto& step : work.attention) {
    prices.emplace_back();
    for (const planner::AttentionWork& part : step) {
      prices.back().push_back(part.active_blocks > 0 ? costs.Attention(part).ns : 0.0);
    }
  }
  return prices;
}

bool NowhereAbove(const Prices& a, const Prices& b) {
  for (std::size_t t = 0; t < a.size(); ++t) {
    for (std::size_t r = 0; r < a[t].size(); ++r) {
      if (a[t][r] > b[t][r]) return false;
    }
  }
  return true;
}

/// Kernels that are not at least as slow as another one everywhere; of equal kernels the first.
/// Limit: when overlap slows attention down, a shorter call can overlap with other exchanges and
/// end later. That case is ignored.
std::vector<std::size_t> WorthSimulating(const std::vector<Prices>& prices) {
  std::vector<std::size_t> worth;
  for (std::size_t k = 0; k < prices.size(); ++k) {
    bool superfluous = false;
    for (std::size_t other = 0; other < prices.size() && !superfluous; ++other) {
      if (other == k || !NowhereAbove(prices[other], prices[k])) continue;
      superfluous = other < k || !NowhereAbove(prices[k], prices[other]);
    }
    if (!superfluous) worth.push_back(k);
  }
  return worth;
}

std::size_t FastestOnTheWhole(const planner::AttentionWork& whole,
                              std::span<const std::string> kernels,
                              const planner::Costs& costs) {
  std::size_t fastest = 0;
  double least = 0;
  planner::AttentionWork work = whole;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    work.kernel = kernels[k];
    const double ns = work.active_blocks > 0 ? costs.Attention(work).ns : 0.0;
    if (k > 0 && ns >= least) continue;
    least = ns;
    fastest = k;
  }
  return fastest;
}

}  // namespace

int ChooseKernel(planner::LayerVolumes& work,
                 std::span<const std::string> kernels,
                 const planner::Costs& costs) {
  DBSP_CHECK(!kernels.empty());
  if (kernels.size() == 1) {
    SetKernel(work, kernels.front());
    work.whole.kernel = kernels.front();
    return 0;
  }
  std::vector<Prices> prices;
  for (const std::string& kernel : kernels) {
    SetKernel(work, kernel);
    prices.push_back(PriceAttention(work, costs));
  }
  const std::vector<std::size_t> candidates = WorthSimulating(prices);
  std::size_t best = candidates.front();
  if (candidates.size() > 1) {
    planner::LayerDurations durations = planner::PriceLayer(work, costs, planner::Bound::kExpected);
    std::int64_t shortest = 0;
    for (const std::size_t k : candidates) {
      durations.attention = prices[k];
      const std::int64_t makespan =
          planner::Makespan(work, durations, planner::RingSync::kNeighbour);
      if (k != candidates.front() && makespan >= shortest) continue;
      shortest = makespan;
      best = k;
    }
  }
  SetKernel(work, kernels[best]);
  work.whole.kernel = kernels[FastestOnTheWhole(work.whole, kernels, costs)];
  return static_cast<int>(best);
}

bool MergesPartialResults(const Strategy& strategy) {
  return strategy.exchange == Exchange::kRing && strategy.ring_degree > 1;
}

int ChooseKernelFor(const Strategy& strategy,
                    planner::LayerVolumes& work,
                    std::span<const std::string> kernels,
                    std::span<const std::string> without_lse,
                    const planner::Costs& costs) {
  if (without_lse.empty() || !MergesPartialResults(strategy)) {
    return ChooseKernel(work, kernels, costs);
  }
  std::vector<std::string> merging;
  std::vector<int> index;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    if (std::ranges::find(without_lse, kernels[i]) != without_lse.end()) continue;
    merging.push_back(kernels[i]);
    index.push_back(static_cast<int>(i));
  }
  if (merging.empty()) {
    Fail(ErrorCode::kNotFound,
         "kernel {} writes no log-sum-exp, so that the partial results of a ring cannot be merged",
         kernels.front());
  }
  return index[static_cast<std::size_t>(ChooseKernel(work, merging, costs))];
}

}  // namespace dbsp::tuner
