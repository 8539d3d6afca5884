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
  /// Kept blocks of each head of At(step, layer), without making masks where the rule knows them.
  /// errors  as At; threads safe concurrently
  [[nodiscard]] virtual std::vector<std::int64_t> KeptAt(int step, int layer);
};

[[nodiscard]] std::unique_ptr<MaskSource> OpenMasks(const Workload& workload);

/// Parses "radial:decay=0.2,dense_steps=12" into a workload's rules and assignments (the dense
/// warm-up steps and layers of the rule included) and validates every option.
/// errors  Error{kInvalidArgument} naming the nearest known rule or option
/// A file named in the flag is found from the current directory and, where the file stays needed,
/// stored relative to workload.directory.
void ApplyMaskFlag(const std::string& flag, Workload& workload);

/// The block size that suits the flag's rule when the user names none: 128x128, or the rule's own
/// where it is smaller.
/// errors  as ApplyMaskFlag, for the flag's text
[[nodiscard]] BlockSize DefaultBlock(const std::string& flag, const ModelShape& model);

/// False when only the counts of the rule's masks mean anything and the block positions are made
/// up from a seed (random, vsa, density). requires a rule that ApplyMaskFlag or ReadWorkload gave
/// errors  Error{kInvalidArgument} naming the nearest known rule
[[nodiscard]] bool PositionsAreReal(const MaskRule& rule);

/// Names of the model presets, and one of them.
/// errors  Error{kInvalidArgument} naming the nearest known preset
[[nodiscard]] std::vector<std::string> ModelPresets();
[[nodiscard]] ModelShape ModelPreset(const std::string& name);

}  // namespace dbsp::planner
