// SPDX-License-Identifier: Apache-2.0
// dbsp-replay: runs a plan on this machine, checks its outputs, stores predicted against replayed.
// A part of the library, so that tests run the whole tool in their own process.
#pragma once

namespace dbsp::replay {

/// The tool's main(): flags, run, exit code. Ctrl-C ends the process by the signal; files and
/// records are written whole at the end or not at all.
int ReplayMain(int argc, const char* const* argv);

}  // namespace dbsp::replay
