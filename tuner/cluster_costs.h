// SPDX-License-Identifier: Apache-2.0
// Analytic costs of a well-known cluster, for when there is no database: public peak and bandwidth
// figures, bf16, one node. Good for imbalance, bytes and rankings; never a measurement, and marked
// analytic everywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// What is known of one GPU and its links. Sources: ClusterCosts' table in cluster_costs.cpp.
struct GpuFigures {
  std::string name;  ///< "h200"
  double peak_tflops = 0;  ///< dense bf16
  double hbm_gb_per_s = 0;
  double link_gb_per_s = 0;  ///< one way, all links of a GPU together, as reached by NCCL
  int multiprocessors = 0;
  double attention_tflops_d128 = 0;  ///< block-sparse attention at 128 x 128 blocks
  double attention_tflops_d64 = 0;
};

struct Cluster {
  std::string name;  ///< "h200x8"
  GpuFigures gpu;
  int gpus = 1;
};

/// Parses NAMExCOUNT, such as h200x8.
/// errors  Error{kInvalidArgument} for an unknown GPU (naming the nearest known), a count below 1,
///         or one above 8: nodes are modelled alone, the network between them is not
[[nodiscard]] Cluster ParseCluster(std::string_view text);

class ClusterCosts : public planner::Costs {
 public:
  explicit ClusterCosts(Cluster cluster);

  /// Launch + tensor-core time of active blocks and two block times per row, over the
  /// multiprocessors there are rows for; never below the time to read Q, K, V once.
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  [[nodiscard]] planner::Estimate AllToAll(int ranks, std::int64_t max_rank_bytes) const override;
  [[nodiscard]] planner::Estimate Hop(int ranks, std::int64_t bytes) const override;
  [[nodiscard]] planner::OverlapSlowdownEstimate EstimateOverlapSlowdown(planner::Traffic traffic,
                                                                         int ranks) const override;
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override;
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] std::vector<std::string> Remarks() const;
  /// For costs that take only the exchanges from here.
  [[nodiscard]] std::string ExchangeRemark() const;

 private:
  Cluster cluster_;
};

}  // namespace dbsp::tuner
