// SPDX-License-Identifier: Apache-2.0
// The members of a plan file that say how the plan was made and what it is compared with:
// "baselines", "notes", "fits", "close_calls" and "rest". Private to core/: it includes nlohmann
// json.
#pragma once

#include "core/json.h"
#include "core/plan.h"

namespace dbsp {

/// Reads the members that are there; plans of older versions have none of them.
/// requires the plan's strategies were read
/// errors   Error{kCorruptInput} with the file and the key
void ReadTuning(const JsonView& document, Plan& plan);

/// Adds the members that the plan has.
void WriteTuning(const Plan& plan, Json& document);

}  // namespace dbsp
