// SPDX-License-Identifier: Apache-2.0
// Event simulation of one layer: each rank has one device and one link, used in program order.
#pragma once

#include <functional>
#include <vector>

#include "core/strategy.h"
#include "planner/timeline/barrier.h"
#include "planner/timeline/costs.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

/// How many times longer work takes while a rank's attention and its link's traffic run at once.
struct OverlapSlowdown {
  double attention = 1;  ///< of the rank's attention, under this traffic
  double exchange = 1;  ///< of this traffic, while a rank that it moves for attends
  bool operator==(const OverlapSlowdown&) const = default;
};

/// Duration of every segment of a layer with nothing beside it, nanoseconds; the same index order
/// as LayerVolumes.
struct LayerDurations {
  std::vector<std::vector<double>> pack;  ///< [rounds][rank]
  std::vector<std::vector<double>> exchange;  ///< [rounds][rank], equal inside a component
  std::vector<std::vector<double>> unpack;  ///< [rounds][rank]
  std::vector<std::vector<double>> attention;  ///< [steps][rank]
  std::vector<std::vector<double>> merge;  ///< [steps][rank], 0 in step 0
  std::vector<std::vector<double>> hop;  ///< [steps - 1][rank]
  /// [rounds][rank], equal inside a component; empty: exchanges and attention do not meet, or
  /// without loss.
  std::vector<std::vector<OverlapSlowdown>> exchange_slowdown = {};
  std::vector<OverlapSlowdown> hop_slowdown = {};  ///< [rank]; empty as above
};

enum class Bound : std::uint8_t { kExpected, kLow, kHigh };

/// Prices every amount of `work`.
[[nodiscard]] LayerDurations PriceLayer(const LayerVolumes& work, const Costs& costs, Bound bound);

/// kNeighbour: a rank waits only for the K/V it needs, double-buffered (the hop that fetches the
/// K/V of step t + 1 may start when the sender has that K/V, the receiver's other buffer is free
/// (its attention of step t - 1 ended) and both links are free).
/// kBarrier: every ring step ends when the slowest rank of the ring group ends it. With durations
/// equal to block counts and no exchange, makespan * U * R / total = rho of db-SP.
enum class RingSync : std::uint8_t { kNeighbour, kBarrier };

/// Where there are slowdowns, attention and traffic that run at once each advance at their reduced
/// rates, an exchange for all ranks of its component alike. The makespan is then never below that
/// without slowdowns, and never above that with every attention and all traffic at their slowest
/// throughout; between those it need not grow with a slowdown, because what is late may miss what
/// would have slowed it.
/// errors  Error{kInvalidArgument} when durations have another shape, are negative or not finite,
///         or a slowdown is below 1 or not finite
[[nodiscard]] Timeline Simulate(const LayerVolumes& work,
                                const LayerDurations& durations,
                                RingSync sync);

/// BarrierLoadOf() of masks and partition (planner/timeline/barrier.h), from the amounts.
[[nodiscard]] BarrierLoad BarrierLoadOf(const LayerVolumes& work);

/// Everything a plan says about one (masks, strategy).
[[nodiscard]] Prediction Predict(const LayerVolumes& work,
                                 const AttentionShape& shape,
                                 DType dtype,
                                 const Costs& costs);

}  // namespace dbsp::planner
