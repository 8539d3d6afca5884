// SPDX-License-Identifier: Apache-2.0
// Load of plain ulysses and plain ring, which a plan stores for the report to compare with.
#pragma once

#include <cstdint>
#include <vector>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/plan.h"

namespace dbsp::tuner {

/// Plain ulysses and plain ring on the ranks of one pass group.
class BaselineLoads {
 public:
  /// requires ranks >= 1
  BaselineLoads(const AttentionShape& shape, int ranks);

  /// Family and degrees of every baseline; their loads are empty.
  [[nodiscard]] const std::vector<Baseline>& baselines() const { return baselines_; }

  /// Active blocks per rank on these masks, whose tokens are in the given order.
  /// shape    returns [index into baselines()][rank]
  /// requires masks of the shape
  [[nodiscard]] std::vector<std::vector<std::int64_t>> On(const LayerMasks& masks) const;

 private:
  std::vector<Baseline> baselines_;
  std::vector<Partition> partitions_;  ///< [index into baselines_]
};

}  // namespace dbsp::tuner
