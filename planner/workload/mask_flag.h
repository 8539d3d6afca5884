// SPDX-License-Identifier: Apache-2.0
// The text of --mask: "RULE:option=value,option=value".
#pragma once

#include <string>

#include "core/workload.h"

namespace dbsp::planner {

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

}  // namespace dbsp::planner
