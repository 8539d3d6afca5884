// SPDX-License-Identifier: Apache-2.0
// Self-attention shapes of real models by name.
#pragma once

#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp::planner {

/// Names of the model presets.
[[nodiscard]] std::vector<std::string> ModelPresets();
/// Shape of a preset. errors  Error{kInvalidArgument} with the nearest known preset
[[nodiscard]] ModelShape ModelPreset(const std::string& name);

}  // namespace dbsp::planner
