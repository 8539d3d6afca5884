// SPDX-License-Identifier: Apache-2.0
#include "tuner/baselines.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/parallel_for.h"
#include "planner/placement/families.h"
#include "planner/workload/row_loads.h"

namespace dbsp::tuner {
namespace {

BaselineTime TimeOf(const Score& s) {
  return {s.total_ns, s.low_ns, s.high_ns, s.compute_ns, s.exchange_ns};
}

/// Candidate that is the baseline; -1 when the search has none.
int FindBaseline(const SearchResult& result, Family family) {
  const auto found = std::ranges::find_if(result.candidates, [&](const Candidate& candidate) {
    return IsBaseline(candidate.strategy, family, result.ranks);
  });
  return found == result.candidates.end() ? -1
                                          : static_cast<int>(found - result.candidates.begin());
}

/// Predicts a baseline that was not searched, or says why that is impossible.
void Predict(planner::MaskSource& masks,
             const planner::Costs& costs,
             const SearchResult& result,
             const SearchOptions& options,
             PricedBaseline& baseline) {
  Strategy strategy = BaselineStrategy(baseline.family, result.ranks);
  if (!result.candidates.empty()) strategy.kernel = result.candidates.front().strategy.kernel;
  std::vector<BaselineTime> times(result.classes.size());
  try {
    ParallelFor(static_cast<int>(times.size()), options.threads, [&](int c) {
      const LayerMasks own = masks.At(result.classes[c].step, result.classes[c].layer);
      times[c] = dbsp::TimeOf(MakeCellPlan(result.shape, own, strategy, costs, options).prediction);
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kMeasurement) throw;
    baseline.missing = error.what();
    return;
  }
  baseline.times = std::move(times);
}

}  // namespace

BaselineLoads::BaselineLoads(const AttentionShape& shape, int ranks) {
  for (const Family family : kBaselineFamilies) {
    const Strategy plain = BaselineStrategy(family, ranks);
    baselines_.push_back({family, plain.ulysses_degree, plain.ring_degree, {}});
  }
  LayerMasks any;  // the two families place heads and rows without looking at masks
  any.head.assign(shape.heads, std::make_shared<BlockMask>(shape.q_blocks(), shape.k_blocks()));
  for (const Baseline& baseline : baselines_) {
    partitions_.push_back(planner::MakePartition(baseline.family,
                                                 shape,
                                                 any,
                                                 ranks,
                                                 baseline.ulysses_degree,
                                                 baseline.ring_degree,
                                                 MakeHomeLayout(shape, ranks)));
  }
}

std::vector<std::vector<std::int64_t>> BaselineLoads::On(const LayerMasks& masks) const {
  const planner::RowLoads rows = planner::RowLoadsOf(masks);
  std::vector<std::vector<std::int64_t>> loads;
  for (const Partition& partition : partitions_) {
    loads.push_back(planner::RankLoads(rows, partition));
  }
  return loads;
}

std::vector<PricedBaseline> PriceBaselines(planner::MaskSource& masks,
                                           const planner::Costs& costs,
                                           const SearchResult& result,
                                           const SearchOptions& options) {
  std::vector<PricedBaseline> priced;
  for (const Family family : kBaselineFamilies) {
    PricedBaseline& baseline = priced.emplace_back();
    baseline.family = family;
    const int found = FindBaseline(result, family);
    if (found < 0) {
      Predict(masks, costs, result, options, baseline);
    } else if (const std::string& reason = result.candidates[found].excluded; !reason.empty()) {
      baseline.missing = reason;
    } else {
      for (const CellClass& cls : result.classes) {
        baseline.times.push_back(TimeOf(cls.scores[found]));
      }
    }
  }
  return priced;
}

std::optional<Gain> GainOver(const SearchResult& result,
                             const PricedBaseline& baseline,
                             double model_error) {
  if (baseline.times.empty()) return std::nullopt;
  GainSum sum;
  for (std::size_t c = 0; c < result.classes.size(); ++c) {
    const CellClass& cls = result.classes[c];
    const auto chosen = static_cast<std::size_t>(cls.choice.chosen);
    const auto cells = static_cast<double>(cls.cells);
    sum.Add(TimeOf(cls.scores[chosen]),
            cells * result.WavesOf(chosen),
            baseline.times[c],
            cells * result.passes);
  }
  return sum.Result(model_error);
}

}  // namespace dbsp::tuner
