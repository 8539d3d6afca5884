// SPDX-License-Identifier: Apache-2.0
// Strategy for cells whose masks no longer satisfy the contract of the plan.
#pragma once

#include <cstdint>

#include "core/plan.h"
#include "core/status.h"
#include "planner/timeline/costs.h"
#include "tuner/search.h"

namespace dbsp::tuner {

struct Fallback {
  Strategy strategy;  ///< without its partition index
  Partition partition;
};

/// Chooses a strategy whose partition does not depend on masks: the fastest over the workload among
/// the candidates of the plan's layout and cfg degree. With options.partition.memory_per_rank it
/// must fit on dense masks, because future masks are unknown. If no candidate fits, plain ulysses,
/// usp and ring are tried in this order. If none of these fits either, the strategy with the
/// smallest memory maximum over ranks is chosen, and CheckFallback() describes the excess.
[[nodiscard]] Fallback ChooseFallback(const SearchResult& result,
                                      const planner::Costs& costs,
                                      const SearchOptions& options);

/// Whether the plan's fallback needs at most `memory_per_rank` bytes on dense masks. Ok when
/// memory_per_rank is 0 (no limit), and when no cell has a contract.
[[nodiscard]] Status CheckFallback(const Plan& plan, std::int64_t memory_per_rank);

}  // namespace dbsp::tuner
