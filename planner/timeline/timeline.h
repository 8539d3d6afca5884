// SPDX-License-Identifier: Apache-2.0
// Event simulation of one layer. Every rank has one device and one link, each used in program
// order.
#pragma once

#include "core/strategy.h"
#include "planner/timeline/barrier.h"
#include "planner/timeline/costs.h"
#include "planner/timeline/layer_durations.h"
#include "planner/timeline/layer_volumes.h"

namespace dbsp::planner {

enum class Bound : std::uint8_t { kExpected, kLow, kHigh };

/// Durations of all segments of `work` under `costs`, at one end of their intervals.
[[nodiscard]] LayerDurations PriceLayer(const LayerVolumes& work, const Costs& costs, Bound bound);

/// kNeighbour: a rank waits only for the K/V that it needs. K/V are double-buffered: the hop for
/// step t + 1 may start once the sender has those K/V, the receiver has finished attention of step
/// t - 1, and both links are free.
/// kBarrier: every ring step ends when the slowest rank of the ring ends it. If durations are block
/// counts and exchanges take no time, makespan * U * R / total is rho of db-SP.
enum class RingSync : std::uint8_t { kNeighbour, kBarrier };

/// Start and duration of every segment.
///
/// With slowdowns, attention and traffic that overlap each advance at their reduced rates. An
/// exchange advances equally for all ranks of its component. The makespan is at least the one
/// without slowdowns, and at most the one with all attention and all traffic slowed throughout. It
/// need not grow with a slowdown: a delayed segment may avoid an overlap that slowed it before.
/// errors  Error{kInvalidArgument} if durations have another shape than `work`, are negative or not
///         finite, or if a slowdown is below 1 or not finite
[[nodiscard]] Timeline Simulate(const LayerVolumes& work,
                                const LayerDurations& durations,
                                RingSync sync);

/// Simulate().makespan_ns, without the segments.
[[nodiscard]] std::int64_t Makespan(const LayerVolumes& work,
                                    const LayerDurations& durations,
                                    RingSync sync);

/// BarrierLoadOf() of masks and partition (planner/timeline/barrier.h), computed from volumes.
[[nodiscard]] BarrierLoad BarrierLoadOf(const LayerVolumes& work);

/// Everything that a plan stores about one pair of masks and strategy.
[[nodiscard]] Prediction Predict(const LayerVolumes& work,
                                 const AttentionShape& shape,
                                 DType dtype,
                                 const Costs& costs);
/// Predict() without the segments.
[[nodiscard]] Prediction PredictTotals(const LayerVolumes& work,
                                       const AttentionShape& shape,
                                       DType dtype,
                                       const Costs& costs);

}  // namespace dbsp::planner
