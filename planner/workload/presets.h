// SPDX-License-Identifier: Apache-2.0
// Self-attention shapes of real models by name.
#pragma once

#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::planner {

/// Names of the model presets.
[[nodiscard]] std::vector<std::string> ModelPresets();
/// Shape of a preset.
/// errors  Error{kInvalidArgument} with the nearest known preset
[[nodiscard]] ModelShape ModelPreset(const std::string& name);

/// The model and size of video that a preset stands for; "" for another name.
[[nodiscard]] std::string PresetNote(const std::string& name);

/// What a layer computes beside self-attention.
struct LayerWidths {
  int feed_forward = 0;  ///< inner width of the feed-forward network, of two matrices
  int cross_attention_tokens = 0;  ///< tokens of text that a cross-attention reads; 0 without one
  bool known = false;  ///< false: the widths are not known, and feed_forward is 4 x the model's
};

/// Widths of a preset's layers by its name, or of a usual transformer.
[[nodiscard]] LayerWidths LayerWidthsOf(const ModelShape& model);

}  // namespace dbsp::planner
