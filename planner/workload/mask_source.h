// SPDX-License-Identifier: Apache-2.0
// Masks of a workload, produced per (step, layer) on demand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/block_mask.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Lazy masks of one workload. Never holds more than a few layers; masks that repeat (dense,
/// radial, equal STA windows) are the same object for as long as this source lives.
class MaskSource {
 public:
  virtual ~MaskSource() = default;
  /// Masks of all heads, each q_blocks x k_blocks of the workload's shape.
  /// requires 0 <= step < model.steps, 0 <= layer < model.layers
  /// errors   Error{kCorruptInput, kMismatch, kNotFound} when a referenced file is bad or missing
  /// threads  safe concurrently
  [[nodiscard]] virtual LayerMasks At(int step, int layer) = 0;
  /// Equal keys = equal masks, without making them ("" when only the masks can tell).
  [[nodiscard]] virtual std::string KeyAt(int step, int layer) const = 0;
  /// Active blocks of each head of At(step, layer), without making masks where the rule knows them.
  /// errors  as At; threads safe concurrently
  [[nodiscard]] virtual std::vector<std::int64_t> ActiveBlocksAt(int step, int layer);
};

[[nodiscard]] std::unique_ptr<MaskSource> OpenMasks(const Workload& workload);

/// False when only the counts of the rule's masks mean anything and the block positions are made
/// up from a seed (random, vsa, density). requires a rule that ApplyMaskFlag or ReadWorkload gave
/// errors  Error{kInvalidArgument} naming the nearest known rule
[[nodiscard]] bool PositionsAreReal(const MaskRule& rule);

}  // namespace dbsp::planner
