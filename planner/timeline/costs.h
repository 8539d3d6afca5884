// SPDX-License-Identifier: Apache-2.0
// Interface of the cost models that the planner works with. tuner/ implements it from a database's
// measurements or from a cluster's published figures; the planner itself knows no device.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "core/plan.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

/// Nanoseconds with an interval. Finite; 0 <= low_ns <= ns <= high_ns.
struct Estimate {
  double ns = 0;
  double low_ns = 0;
  double high_ns = 0;
};

/// Time of an operation beside another one, divided by its time alone, with an interval; always
/// finite, 1 <= low <= value <= high.
struct SlowdownEstimate {
  double value = 1;
  double low = 1;
  double high = 1;
};

/// Slowdown of attention and of an exchange that overlap on one rank.
struct OverlapSlowdownEstimate {
  SlowdownEstimate attention;  ///< while the rank's link carries traffic
  SlowdownEstimate exchange;  ///< while a rank that takes part in it computes attention
};

/// Kinds of traffic that attention can overlap with.
enum class Traffic : std::uint8_t { kAllToAll, kHop };

/// Ranks 0 .. count - 1, for the price of an exchange of which only the number of ranks is known.
[[nodiscard]] inline std::vector<int> FirstRanks(int count) {
  std::vector<int> ranks(count);
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

/// Price of every operation of a layer, nanoseconds. Threads ask concurrently.
class Costs {
 public:
  virtual ~Costs() = default;
  /// One attention call; 0 without active blocks.
  [[nodiscard]] virtual Estimate Attention(const AttentionWork& work) const = 0;
  /// Copying `bytes` between a rank's tokens and the blocks that it sends or receives.
  [[nodiscard]] virtual Estimate Copy(std::int64_t bytes) const = 0;
  /// Time to merge `rows` (head, query) partial results of head_dim floats each.
  [[nodiscard]] virtual Estimate Merge(std::int64_t rows, int head_dim) const = 0;
  /// All-to-all between `ranks`; the busiest of them sends or receives `max_rank_bytes`. 0 when
  /// that is 0. Which ranks they are matters to costs that know the hosts; others count them.
  [[nodiscard]] virtual Estimate AllToAll(std::span<const int> ranks,
                                          std::int64_t max_rank_bytes) const = 0;
  /// Number of successive ranks, from rank 0 on, that share a node's links. 0 for costs that do not
  /// price the bytes inside a node and between nodes apart.
  [[nodiscard]] virtual int ranks_per_node() const { return 0; }
  /// All-to-all between ranks of several nodes: the busiest rank sends or receives `inside_bytes`
  /// on its node, and the busiest one `between_bytes` to or from other nodes, at the same time.
  /// Only costs with ranks_per_node() are asked.
  [[nodiscard]] virtual Estimate AllToAllOfNodes(std::span<const int> ranks,
                                                 std::int64_t inside_bytes,
                                                 std::int64_t between_bytes) const {
    return AllToAll(ranks, inside_bytes + between_bytes);
  }
  /// One hop in a ring of the ranks `ring`: each of them sends and receives at the same time, and
  /// the first one receives `bytes` from the second one.
  [[nodiscard]] virtual Estimate Hop(std::span<const int> ring, std::int64_t bytes) const = 0;
  /// Slowdown of attention and of an all-to-all between `ranks` ranks, or a hop in a ring of them,
  /// while both run. A cost model without such figures returns 1.
  [[nodiscard]] virtual OverlapSlowdownEstimate Slowdown(Traffic /*traffic*/, int /*ranks*/) const {
    return {};
  }
  /// Lowest time of any exchange of `bytes` per rank (bandwidth only), for lower bounds.
  [[nodiscard]] virtual double BandwidthBoundNs(std::int64_t bytes) const = 0;
  [[nodiscard]] virtual CostSource source() const = 0;
};

}  // namespace dbsp::planner
