// SPDX-License-Identifier: Apache-2.0
// What the cells of a plan exchange, copy and compute, read from the plan alone.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "core/plan.h"

namespace dbsp::profiler {

/// Distinct volumes over all cells of a plan.
struct PlanVolumes {
  /// (ranks that exchange, largest number of bytes that one of them sends or receives)
  std::set<std::pair<int, std::int64_t>> all_to_alls;
  std::set<std::pair<int, std::int64_t>> hops;  ///< (ranks in the ring, bytes that one receives)
  std::set<std::int64_t> copies;  ///< bytes of a pack or unpack
  std::set<std::int64_t> merges;  ///< (head, query token) rows of a ring step
  /// (kernel, heads, query blocks, key blocks) of a call on the rank of a group with the most rows
  std::set<std::tuple<std::string, int, int, int>> attention;
};

/// Bytes come from the predicted segments, rows and columns from the partitions, and the ranks that
/// exchange from planner/timeline/connected_ranks.h.
/// errors  Error{kInvalidArgument} for a plan without cells, or for a prediction with an exchange
///         round that its strategy does not have
[[nodiscard]] PlanVolumes VolumesOf(const Plan& plan);

}  // namespace dbsp::profiler
