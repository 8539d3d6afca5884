// SPDX-License-Identifier: Apache-2.0
// Checks of a cost model's results: a number that is not finite, negative or out of order is an
// error.
#pragma once

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// Forwards every call to `costs` and checks the result.
/// errors  Error{kMeasurement} with the operation and the numbers, when a time is not finite or not
///         0 <= low <= ns <= high, or a slowdown is not 1 <= low <= value <= high
/// owns    nothing; `costs` must outlive it
class CheckedCosts : public planner::Costs {
 public:
  explicit CheckedCosts(const planner::Costs& costs) : costs_(costs) {}
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t max_rank_bytes) const override;
  [[nodiscard]] int ranks_per_node() const override { return costs_.ranks_per_node(); }
  [[nodiscard]] planner::Estimate AllToAllOfNodes(std::span<const int> ranks,
                                                  std::int64_t inside_bytes,
                                                  std::int64_t between_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(std::span<const int> ring, std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate Slowdown(planner::Traffic traffic,
                                                          int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return costs_.source(); }

 private:
  const planner::Costs& costs_;
};

}  // namespace dbsp::tuner
