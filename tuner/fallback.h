// SPDX-License-Identifier: Apache-2.0
// What stands in for a plan's strategies where the masks have changed too much for them.
#pragma once

#include <cstdint>
#include <string>

#include "core/plan.h"
#include "planner/timeline/costs.h"
#include "tuner/search.h"

namespace dbsp::tuner {

struct Fallback {
  Strategy strategy;  ///< its partition is the one beside it, not an index yet
  Partition partition;
};

/// A strategy whose partition looks at no mask, so that it was made for none in particular: the
/// cheapest over the workload of those that were searched in the plan's layout and cfg degree. With
/// options.partition.memory_per_rank it must keep within that on masks that keep everything, as
/// nobody knows the next ones; where no searched one does, plain ulysses, usp and ring stand in, in
/// this order, and where none of them does either, the one whose fullest rank holds least.
/// FallbackProblem() then says so.
[[nodiscard]] Fallback ChooseFallback(const SearchResult& result,
                                      const planner::Costs& costs,
                                      const SearchOptions& options);

/// How the plan's fallback exceeds `memory_per_rank` bytes on masks that keep everything; "" where
/// it does not, where 0 bytes stand for any number, or where no cell has a contract.
[[nodiscard]] std::string FallbackProblem(const Plan& plan, std::int64_t memory_per_rank);

}  // namespace dbsp::tuner
