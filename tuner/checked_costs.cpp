// SPDX-License-Identifier: Apache-2.0
#include "tuner/checked_costs.h"

#include <cmath>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

/// A year in nanoseconds. A longer time is an error, and sums of shorter ones stay far below 2^63.
constexpr double kMaxNs = 3.2e16;
constexpr double kMaxSlowdown = 1e6;

Estimate Checked(const Estimate& e, const char* operation) {
  const bool good = std::isfinite(e.ns) && std::isfinite(e.low_ns) && std::isfinite(e.high_ns) &&
                    0 <= e.low_ns && e.low_ns <= e.ns && e.ns <= e.high_ns && e.high_ns < kMaxNs;
  if (!good) {
    Fail(ErrorCode::kMeasurement,
         "the cost model's {} takes {} ns with the interval [{}, {}]; expected finite numbers, "
         "ordered "
         "and not negative",
         operation,
         e.ns,
         e.low_ns,
         e.high_ns);
  }
  return e;
}

}  // namespace

Estimate CheckedCosts::Attention(const planner::AttentionWork& work) const {
  return Checked(costs_.Attention(work), "attention");
}
Estimate CheckedCosts::Copy(std::int64_t bytes) const {
  return Checked(costs_.Copy(bytes), "copy");
}
Estimate CheckedCosts::Merge(std::int64_t rows, int head_dim) const {
  return Checked(costs_.Merge(rows, head_dim), "merge");
}
Estimate CheckedCosts::AllToAll(std::span<const int> ranks, std::int64_t max_rank_bytes) const {
  return Checked(costs_.AllToAll(ranks, max_rank_bytes), "all-to-all");
}
Estimate CheckedCosts::AllToAllOfNodes(std::span<const int> ranks,
                                       std::int64_t inside_bytes,
                                       std::int64_t between_bytes) const {
  return Checked(costs_.AllToAllOfNodes(ranks, inside_bytes, between_bytes), "all-to-all");
}
Estimate CheckedCosts::Hop(std::span<const int> ring, std::int64_t bytes) const {
  return Checked(costs_.Hop(ring, bytes), "hop");
}
planner::OverlapSlowdownEstimate CheckedCosts::Slowdown(planner::Traffic traffic, int ranks) const {
  const planner::OverlapSlowdownEstimate slowdown = costs_.Slowdown(traffic, ranks);
  for (const planner::SlowdownEstimate& f : {slowdown.attention, slowdown.exchange}) {
    const bool good = std::isfinite(f.low) && std::isfinite(f.value) && std::isfinite(f.high) &&
                      1 <= f.low && f.low <= f.value && f.value <= f.high && f.high < kMaxSlowdown;
    if (good) continue;
    Fail(ErrorCode::kMeasurement,
         "the cost model's slowdown is {} with the interval [{}, {}]; expected finite numbers, "
         "ordered "
         "and from 1 to {}",
         f.value,
         f.low,
         f.high,
         kMaxSlowdown);
  }
  return slowdown;
}
double CheckedCosts::BandwidthBoundNs(std::int64_t bytes) const {
  const double ns = costs_.BandwidthBoundNs(bytes);
  return Checked({ns, ns, ns}, "bandwidth bound").ns;
}

}  // namespace dbsp::tuner
