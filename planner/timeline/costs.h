// SPDX-License-Identifier: Apache-2.0
// Interface of cost models. The tuner implements it from a database or from published figures of a
// cluster; the planner knows no device.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/plan.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

/// Nanoseconds with an interval. Finite; 0 <= low_ns <= ns <= high_ns.
struct Estimate {
  double ns = 0;
  double low_ns = 0;
  double high_ns = 0;
};

/// A factor by which something takes longer. Finite; 1 <= low <= value <= high.
struct RatioEstimate {
  double value = 1;
  double low = 1;
  double high = 1;
};

/// Slowdowns of attention and traffic that overlap on one rank.
struct OverlapSlowdownEstimate {
  RatioEstimate attention;  ///< of attention, while the rank's link carries traffic
  RatioEstimate exchange;  ///< of traffic, while a rank at one of its ends computes
};

/// Kinds of traffic that may overlap attention.
enum class Traffic : std::uint8_t { kAllToAll, kHop };

class Costs {
 public:
  virtual ~Costs() = default;
  /// Time of one attention call; 0 if no block is active.
  [[nodiscard]] virtual Estimate Attention(const AttentionWork& work) const = 0;
  /// Time to copy `bytes` between the home layout and blocks on one rank.
  [[nodiscard]] virtual Estimate Copy(std::int64_t bytes) const = 0;
  /// Time to merge `rows` (head, query) partial results of head_dim floats each.
  [[nodiscard]] virtual Estimate Merge(std::int64_t rows, int head_dim) const = 0;
  /// All-to-all between `ranks` ranks, the busiest of which moves max(sent, received) =
  /// `max_rank_bytes`; 0 when that is 0.
  [[nodiscard]] virtual Estimate AllToAll(int ranks, std::int64_t max_rank_bytes) const = 0;
  /// AllToAll() between these ranks, for cost models that know which ranks share a host.
  [[nodiscard]] virtual Estimate AllToAllAmong(std::span<const int> ranks,
                                               std::int64_t max_rank_bytes) const {
    return AllToAll(static_cast<int>(ranks.size()), max_rank_bytes);
  }
  /// One ring hop: every rank of a ring of `ranks` sends and receives; this rank receives `bytes`.
  [[nodiscard]] virtual Estimate Hop(int ranks, std::int64_t bytes) const = 0;
  /// Hop() in a ring of these ranks.
  [[nodiscard]] virtual Estimate HopAround(std::span<const int> ring, std::int64_t bytes) const {
    return Hop(static_cast<int>(ring.size()), bytes);
  }
  /// Slowdowns of attention and of the traffic of an all-to-all between, or hops in a ring of,
  /// `ranks` ranks. By default nothing slows down.
  [[nodiscard]] virtual OverlapSlowdownEstimate EstimateOverlapSlowdown(Traffic /*traffic*/,
                                                                        int /*ranks*/) const {
    return {};
  }
  /// Lowest time any exchange of `bytes` per rank can take (bandwidth only), for lower bounds.
  [[nodiscard]] virtual double BandwidthBoundNs(std::int64_t bytes) const = 0;
  [[nodiscard]] virtual CostSource source() const = 0;
};

}  // namespace dbsp::planner
