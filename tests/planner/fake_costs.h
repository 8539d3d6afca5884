// SPDX-License-Identifier: Apache-2.0
// A simple cost model: a fixed part and a rate for each operation.
#pragma once

#include "planner/timeline/costs.h"

namespace dbsp::planner {

class FakeCosts : public Costs {
 public:
  double call_ns = 50;
  double pair_ns = 0.5;
  double row_ns = 2;
  double copy_ns = 0.01;
  double latency_ns = 30;
  double byte_ns = 0.05;
  double spread = 0.25;

  [[nodiscard]] Estimate Attention(const AttentionWork& work) const override {
    return Interval(call_ns + pair_ns * static_cast<double>(work.active_pairs) +
                    row_ns * static_cast<double>(work.active_rows));
  }
  [[nodiscard]] Estimate Copy(std::int64_t bytes) const override {
    return Interval(copy_ns * static_cast<double>(bytes));
  }
  [[nodiscard]] Estimate Merge(std::int64_t rows, int head_dim) const override {
    return Interval(copy_ns * static_cast<double>(rows) * head_dim);
  }
  [[nodiscard]] Estimate AllToAll(std::span<const int> ranks,
                                  std::int64_t max_rank_bytes) const override {
    return Interval(latency_ns * static_cast<double>(ranks.size()) +
                    byte_ns * static_cast<double>(max_rank_bytes));
  }
  [[nodiscard]] Estimate Hop(std::span<const int> /*ring*/, std::int64_t bytes) const override {
    return Interval(latency_ns + byte_ns * static_cast<double>(bytes));
  }
  [[nodiscard]] double BandwidthBoundNs(std::int64_t bytes) const override {
    return byte_ns * static_cast<double>(bytes);
  }
  [[nodiscard]] CostSource source() const override { return CostSource::kAnalytic; }

 private:
  [[nodiscard]] Estimate Interval(double ns) const {
    return {ns, ns * (1 - spread), ns * (1 + spread)};
  }
};

}  // namespace dbsp::planner
