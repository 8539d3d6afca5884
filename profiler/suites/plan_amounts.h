// SPDX-License-Identifier: Apache-2.0
// What a plan's cells exchange, copy and compute, read from the plan alone. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "core/plan.h"

namespace dbsp::profiler {

/// Ranks that exchange with each other in one round, numbered by their lowest rank's order:
/// components[round][rank]. Rounds before attention, then those after it; two of each for dbsp with
/// both degrees above 1 and a ring, as planner/timeline/layer_volumes.h describes. With exchange
/// needed the masks, which a plan does not hold, may leave ranks out that are counted here.
/// requires a valid partition of `shape`
[[nodiscard]] std::vector<std::vector<int>> ExchangeComponents(const AttentionShape& shape,
                                                               const Strategy& strategy,
                                                               const Partition& partition);

/// Distinct amounts over all cells of a plan.
struct PlanAmounts {
  /// (ranks that exchange, most bytes one of them sends or receives)
  std::set<std::pair<int, std::int64_t>> all_to_alls;
  std::set<std::pair<int, std::int64_t>> hops;  ///< (ranks in the ring, bytes one receives)
  std::set<std::int64_t> copies;  ///< bytes of a pack or unpack
  std::set<std::int64_t> merges;  ///< (head, query token) rows of a ring step
  /// (kernel, heads, query blocks, key blocks) of one call of a group's rank that owns most rows.
  std::set<std::tuple<std::string, int, int, int>> attention;
};

/// Bytes come from the predicted segments, which hold for every exchange; who exchanges with whom
/// and how many rows and columns a rank has come from the partitions.
/// errors  Error{kInvalidArgument} for a plan without cells
[[nodiscard]] PlanAmounts AmountsOf(const Plan& plan);

}  // namespace dbsp::profiler
