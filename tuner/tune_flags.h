// SPDX-License-Identifier: Apache-2.0
// The flags of dbsp-tune on its command line.
#pragma once

#include "tuner/tune_tool.h"

namespace CLI {
class App;
}

namespace dbsp::tuner {

/// Adds every flag to `app`, by groups. Parsing fills `flags`.
void AddTuneFlags(CLI::App& app, TuneFlags& flags);

/// errors  Error{kInvalidArgument} when flags contradict each other or a needed one is missing
void RequireSensible(const TuneFlags& flags);

}  // namespace dbsp::tuner
