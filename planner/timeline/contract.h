// SPDX-License-Identifier: Apache-2.0
// How far masks may drift before a plan made for other masks should not be used, and a check of it
// that costs a runtime no more than a sum over heads.
//
// The statistic is rho_barrier of the new masks under the old partition. No placement computes
// faster than the mean of the ranks' blocks, and this one computes no slower than rho times it
// (attention taken as proportional to active blocks). So while rho <= limit, attention with the old
// plan takes at most `limit` times what any new plan could reach. Bytes are not bounded: with the
// exchange needed they follow the new masks.
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

/// Contract of a partition made for `masks`: rho may grow by the part `tolerance`.
/// fallback  index of the strategy that stands in (core/plan.h)
/// errors    Error{kInvalidArgument} for a tolerance that is negative or not finite
[[nodiscard]] Contract MakeContract(const LayerMasks& masks,
                                    const Partition& partition,
                                    Exchange exchange,
                                    double tolerance,
                                    int fallback);

/// The same where only loads are known: no ring, the limit is that of the busiest rank's load.
[[nodiscard]] Contract MakeContract(const RowLoads& loads,
                                    const Partition& partition,
                                    double tolerance,
                                    int fallback);

/// Whether masks keep the contract of `partition`: exact, for every family; reads every mask.
[[nodiscard]] bool ContractHolds(const LayerMasks& masks,
                                 const Partition& partition,
                                 const Contract& contract);

/// The same from the heads' active blocks alone, for exchanges without a ring. Exact for heads that
/// are whole; a split head's blocks are spread over its ranks as they were when the plan was made.
class ContractCheck {
 public:
  /// errors  Error{kInvalidArgument} when the partition turns in a ring (it has column owners), or
  ///         the shares are not those of its split heads
  ContractCheck(const Partition& partition, const Contract& contract);

  /// Busiest rank's blocks over the mean rank's, 1 when nothing is kept. One multiply-add per
  /// (head, rank) that has rows of it; allocates nothing.
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
  std::vector<Part> parts_;  ///< by rank
  std::vector<std::size_t> begin_;  ///< [ranks + 1] into parts_
  std::size_t heads_;
};

}  // namespace dbsp::planner
