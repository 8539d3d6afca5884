// SPDX-License-Identifier: Apache-2.0
// The gate between a cost model and a choice: numbers that are not finite, negative or out of
// order stop here.
#pragma once

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// Passes every question to `costs` and checks the answer.
/// errors  Error{kMeasurement} naming the operation and the numbers, when an answer is not finite
///         or not 0 <= low <= ns <= high, or a slowdown is not 1 <= low <= value <= high
/// owns    nothing: `costs` must outlive it
class CheckedCosts : public planner::Costs {
 public:
  explicit CheckedCosts(const planner::Costs& costs) : costs_(costs) {}
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  [[nodiscard]] planner::Estimate AllToAll(int ranks, std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate AllToAllAmong(std::span<const int> ranks,
                                                std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(int ranks, std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate HopAround(std::span<const int> ring,
                                            std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate EstimateOverlapSlowdown(planner::Traffic traffic,
                                                                         int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return costs_.source(); }

 private:
  const planner::Costs& costs_;
};

}  // namespace dbsp::tuner
