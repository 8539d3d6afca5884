// SPDX-License-Identifier: Apache-2.0
// The text of the flag --mask: "RULE:option=value,option=value".
#pragma once

#include <string>
#include <vector>

#include "core/workload.h"

namespace dbsp::planner {

/// Parses text such as "radial:decay=0.2,dense_steps=12" into the rules and assignments of a
/// workload, dense warm-up steps and layers included, and validates every option. A file named in
/// the flag is looked up from the current directory. If the file is needed later, its path is
/// stored relative to workload.directory. The model's grid becomes the one on which the method
/// computes: VSA pads it to whole tiles.
/// returns what the rule assumed or left out, one sentence each
/// errors  Error{kInvalidArgument} with the nearest known rule or option, or for a shape beyond the
///         limits of workloads
std::vector<std::string> ApplyMaskFlag(const std::string& flag, Workload& workload);

/// Block size for the flag's rule if the user gives none: 128x128, or the rule's own.
/// errors  as ApplyMaskFlag, for the text of the flag
[[nodiscard]] BlockSize DefaultBlock(const std::string& flag, const ModelShape& model);

}  // namespace dbsp::planner
