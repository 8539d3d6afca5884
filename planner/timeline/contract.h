// SPDX-License-Identifier: Apache-2.0
// How far masks may drift before a plan made for other masks should not be used, and a check of
// this that costs a runtime no more than a sum over heads.
//
// The statistic is rho_barrier of the new masks under the old partition. No placement computes
// faster than the mean of the ranks' active blocks, and this placement computes no slower than rho
// times that mean, if attention time is proportional to active blocks. While rho <= limit,
// attention with the old plan therefore takes at most `limit` times what any new plan could reach.
// Bytes are not bounded: with exchange `needed` they follow the new masks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/plan.h"
#include "core/strategy.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {

/// Contract of a partition made for `masks`. rho may grow by the fraction `tolerance`.
/// fallback  index of the strategy to use when the contract is broken (core/plan.h)
/// errors    Error{kInvalidArgument} if the tolerance is negative or not finite
[[nodiscard]] Contract MakeContract(const LayerMasks& masks,
                                    const Partition& partition,
                                    Exchange exchange,
                                    double tolerance,
                                    int fallback);

/// MakeContract() from loads, without a ring. The limit applies to the load of the busiest rank.
[[nodiscard]] Contract MakeContract(const RowLoads& loads,
                                    const Partition& partition,
                                    double tolerance,
                                    int fallback);

/// Whether masks keep the contract of `partition`. Exact for every family; reads every mask.
[[nodiscard]] bool ContractHolds(const LayerMasks& masks,
                                 const Partition& partition,
                                 const Contract& contract);

/// Checks a contract from the active blocks of heads, for exchanges without a ring. Exact for whole
/// heads. The blocks of a split head are taken to be distributed over its ranks as they were when
/// the plan was made.
class ContractCheck {
 public:
  /// errors  Error{kInvalidArgument} if the partition has column owners (a ring), or if the
  ///         contract's shares are not those of its split heads
  ContractCheck(const Partition& partition, const Contract& contract);

  /// Active blocks of the busiest rank over those of the mean rank; 1 if no block is active. Takes
  /// one multiply-add per pair of a head and a rank with rows of it, and allocates nothing.
  /// shape    head_counts [heads] active blocks
  /// requires counts >= 0
  [[nodiscard]] double LoadRatio(std::span<const std::int64_t> head_counts) const;
  [[nodiscard]] bool Holds(std::span<const std::int64_t> head_counts) const {
    return LoadRatio(head_counts) <= limit_;
  }

 private:
  struct Part {
    int head = 0;
    double share = 1;
  };
  double limit_;
  std::vector<Part> parts_;  ///< sorted by rank
  std::vector<std::size_t> begin_;  ///< [ranks + 1] first part of each rank
  std::size_t heads_;
};

}  // namespace dbsp::planner
