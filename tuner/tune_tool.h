// SPDX-License-Identifier: Apache-2.0
// dbsp-tune: searches a strategy for every (step, layer) of a workload and writes the plan.
// A part of the library, so that tests run the tool in their own process.
#pragma once

#include <string_view>

#include "tuner/search.h"
#include "tuner/tune_flags.h"

namespace dbsp::tuner {

/// Parses "2-5" as [2, 6), "2" as [2, 3) and "" as [0, count).
/// errors  Error{kInvalidArgument} with `flag`, for text that is not a range within [0, count)
[[nodiscard]] IndexRange ParseRange(std::string_view text, int count, std::string_view flag);

/// Searches, writes the plan and prints the results. Returns the exit code.
/// errors  Error{kInvalidArgument} for flags that contradict each other or the workload
int RunTune(const TuneFlags& flags);

/// The tool's main(): flags, run, exit code. The plan file is written completely or not at all.
int TuneMain(int argc, const char* const* argv);

}  // namespace dbsp::tuner
