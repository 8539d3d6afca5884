// SPDX-License-Identifier: Apache-2.0
// Analytic costs of a well-known cluster, for planning without a database. They use published peak
// and bandwidth figures for bf16 on one node. Imbalance, bytes and the order of strategies follow
// from them; times are estimates and are marked analytic everywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// Published figures of one GPU and its links. The table in cluster_costs.cpp gives the sources.
struct GpuFigures {
  std::string name;  ///< "h200"
  double peak_tflops = 0;  ///< dense bf16
  double hbm_gb_per_s = 0;
  double link_gb_per_s = 0;  ///< one way, sum over all links of a GPU, as reached by NCCL
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
/// errors  Error{kInvalidArgument} for an unknown GPU (with the nearest known name), and for a
///         count below 1 or above 8, because the network between nodes is not modelled
[[nodiscard]] Cluster ParseCluster(std::string_view text);

class ClusterCosts : public planner::Costs {
 public:
  explicit ClusterCosts(Cluster cluster);

  /// Launch time plus tensor-core time of the active blocks and of two more blocks per row. Only as
  /// many multiprocessors as there are rows are counted. At least the time to read Q, K and V once.
  [[nodiscard]] planner::Estimate Attention(const planner::AttentionWork& work) const override;
  [[nodiscard]] planner::Estimate Copy(std::int64_t bytes) const override;
  [[nodiscard]] planner::Estimate Merge(std::int64_t rows, int head_dim) const override;
  [[nodiscard]] planner::Estimate AllToAll(std::span<const int> ranks,
                                           std::int64_t max_rank_bytes) const override;
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
  Cluster cluster_;
};

}  // namespace dbsp::tuner
