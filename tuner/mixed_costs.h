// SPDX-License-Identifier: Apache-2.0
// Costs of a planned machine that has a measured machine's GPUs and a cluster's links. Attention,
// copies and merges come from a database, exchanges from the cluster's published figures. All
// exchanges have the same source, so that a difference between sources favours no strategy.
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
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t max_rank_bytes) const override {
    return cluster_.AllToAll(ranks, max_rank_bytes);
  }
  [[nodiscard]] int ranks_per_node() const override { return cluster_.ranks_per_node(); }
  [[nodiscard]] planner::Estimate AllToAllOfNodes(std::span<const int> ranks,
                                                  std::int64_t inside_bytes,
                                                  std::int64_t between_bytes) const override {
    return cluster_.AllToAllOfNodes(ranks, inside_bytes, between_bytes);
  }
  [[nodiscard]] planner::Estimate Hop(std::span<const int> ring,
                                      std::int64_t bytes) const override {
    return cluster_.Hop(ring, bytes);
  }
  /// The cluster's: the database measured the slowdown beside this machine's own exchanges.
  [[nodiscard]] planner::OverlapSlowdownEstimate Slowdown(planner::Traffic traffic,
                                                          int ranks) const override {
    return cluster_.Slowdown(traffic, ranks);
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override {
    return cluster_.BandwidthBoundNs(bytes);
  }
  /// The less certain one of the two sources: the exchange costs, which are published figures.
  [[nodiscard]] CostSource source() const override { return cluster_.source(); }

  /// One sentence on the exchanges.
  [[nodiscard]] std::string Remark() const { return cluster_.ExchangeRemark(); }

 private:
  const planner::Costs* device_;
  ClusterCosts cluster_;
};

}  // namespace dbsp::tuner
