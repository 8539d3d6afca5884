// SPDX-License-Identifier: Apache-2.0
// The files that masks are read from, so that no tool writes its output over them.
#pragma once

#include <string>
#include <vector>

#include "core/output.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Array files that the workload's rules name.
[[nodiscard]] std::vector<InputPath> MaskFilesOf(const Workload& workload);

/// Files that `flag`, the value of --mask, names by "file=".
[[nodiscard]] std::vector<InputPath> MaskFilesOf(const std::string& flag);

}  // namespace dbsp::planner
