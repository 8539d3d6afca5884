// SPDX-License-Identifier: Apache-2.0
// What one machine measured, with the exchanges of a cluster that is not at hand: attention, copies
// and merges are a database's, exchanges a cluster's published figures. All exchanges come from one
// source, so that no strategy wins by having the other one's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "planner/timeline/costs.h"
#include "tuner/cluster_costs.h"

namespace dbsp::tuner {

class MixedCosts : public planner::Costs {
 public:
  /// Keeps a reference to `device`, which must outlive it.
  MixedCosts(const planner::Costs& device, Cluster cluster)
      : device_(&device), cluster_(std::move(cluster)) {}

  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override {
    return device_->Attention(work);
  }
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override {
    return device_->Copy(bytes);
  }
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override {
    return device_->Merge(rows, head_dim);
  }
  [[nodiscard]] planner::Estimate AllToAll(int ranks, std::int64_t max_rank_bytes) const override {
    return cluster_.AllToAll(ranks, max_rank_bytes);
  }
  [[nodiscard]] planner::Estimate Hop(int ranks, std::int64_t bytes) const override {
    return cluster_.Hop(ranks, bytes);
  }
  /// The database's is of another exchange.
  [[nodiscard]] planner::OverlapSlowdownEstimate EstimateOverlapSlowdown(planner::Traffic traffic,
                                                                         int ranks) const override {
    return cluster_.EstimateOverlapSlowdown(traffic, ranks);
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override {
    return cluster_.BandwidthBoundNs(bytes);
  }
  /// The weaker of the two, which is the cluster's.
  [[nodiscard]] CostSource source() const override { return cluster_.source(); }

  /// One sentence on the exchanges.
  [[nodiscard]] std::string Remark() const { return cluster_.ExchangeRemark(); }

 private:
  const planner::Costs* device_;
  ClusterCosts cluster_;
};

}  // namespace dbsp::tuner
