// SPDX-License-Identifier: Apache-2.0
// Analytic costs of a cluster, for planning without a database. They use published peak and
// bandwidth figures for bf16 (tuner/cluster_figures.h). Imbalance, bytes and the order of
// strategies follow from them; times are estimates and are marked analytic everywhere.
#pragma once

#include <string>
#include <vector>

#include "planner/timeline/costs.h"
#include "tuner/cluster_figures.h"

namespace dbsp::tuner {

/// Rank r is on node r / gpus_per_node.
class ClusterCosts : public planner::Costs {
 public:
  explicit ClusterCosts(Cluster cluster);

  /// Launch time plus tensor-core time of the active blocks and of two more blocks per row. Only as
  /// many multiprocessors as there are rows are counted. At least the time to read Q, K and V once.
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  /// Between ranks of several nodes every rank is taken to send equally much to every other one.
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t max_rank_bytes) const override;
  [[nodiscard]] int ranks_per_node() const override {
    return cluster_.nodes > 1 ? cluster_.gpus_per_node : 0;
  }
  /// The links and the network carry their bytes at the same time; the slower one counts.
  [[nodiscard]] planner::Estimate AllToAllOfNodes(std::span<const int> ranks,
                                                  std::int64_t inside_bytes,
                                                  std::int64_t between_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(std::span<const int> ring, std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate Slowdown(planner::Traffic traffic,
                                                          int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] std::vector<std::string> Remarks() const;
  /// Sentence for cost models that take only the exchanges from this one.
  [[nodiscard]] std::string ExchangeRemark() const;

 private:
  [[nodiscard]] int NodeOf(int rank) const { return rank / cluster_.gpus_per_node; }
  /// "370 GB/s links", and of several nodes their number, size and network.
  [[nodiscard]] std::string LinkText() const;

  Cluster cluster_;
};

}  // namespace dbsp::tuner
