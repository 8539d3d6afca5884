// SPDX-License-Identifier: Apache-2.0
// Self-attention shapes of real models by name.
#pragma once

#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::planner {

/// Names of the model presets, and one of them.
/// errors  Error{kInvalidArgument} naming the nearest known preset
[[nodiscard]] std::vector<std::string> ModelPresets();
[[nodiscard]] ModelShape ModelPreset(const std::string& name);

}  // namespace dbsp::planner
