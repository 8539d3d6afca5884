// SPDX-License-Identifier: Apache-2.0
// Load and time of plain ulysses and plain ring (core/baseline.h), which a plan stores and gains
// are over.
#pragma once

#include <cstdint>
#include <vector>

#include "core/baseline.h"
#include "core/block_mask.h"
#include "core/partition.h"
#include "core/plan.h"
#include "planner/timeline/costs.h"
#include "planner/workload/mask_source.h"
#include "tuner/search.h"

namespace dbsp::tuner {

/// Plain ulysses and plain ring on all ranks, one pass after the other.
class BaselineLoads {
 public:
  /// requires ranks >= 1
  BaselineLoads(const AttentionShape& shape, int ranks);

  /// Family and degrees of every baseline; their loads are empty.
  [[nodiscard]] const std::vector<Baseline>& baselines() const { return baselines_; }

  /// Active blocks per rank on these masks, whose tokens are in the given order.
  /// shape    returns [index into baselines()][rank]
  /// requires masks of the shape
  [[nodiscard]] std::vector<std::vector<std::int64_t>> On(const LayerMasks& masks) const;

 private:
  std::vector<Baseline> baselines_;
  std::vector<Partition> partitions_;  ///< [index into baselines_]
};

/// A baseline's time on every mask class of a search.
struct PricedBaseline {
  Family family = Family::kUlysses;
  std::vector<BaselineTime> times;  ///< [class]; empty when it could not be priced
  std::string missing;  ///< the reason why not
};

/// Times of both baselines: those of the candidate where the search has it, else predicted here
/// with the same costs. A baseline that the costs or the memory limit exclude has a reason instead.
/// errors  whatever MaskSource::At throws
[[nodiscard]] std::vector<PricedBaseline> PriceBaselines(planner::MaskSource& masks,
                                                         const planner::Costs& costs,
                                                         const SearchResult& result,
                                                         const SearchOptions& options);

/// Gain of the search's choices over a priced baseline; empty without times.
[[nodiscard]] std::optional<Gain> GainOver(const SearchResult& result,
                                           const PricedBaseline& baseline,
                                           double model_error);

}  // namespace dbsp::tuner
