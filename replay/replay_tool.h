// SPDX-License-Identifier: Apache-2.0
// dbsp-replay: runs a plan on this machine, verifies its outputs, stores predicted and replayed
// times. It is part of the library, so that tests can run the tool in their own process.
#pragma once

namespace dbsp::replay {

/// main() of the tool: parses flags, runs, returns the exit code. Ctrl-C ends the process by the
/// signal. Files and records are written completely at the end or not at all.
int ReplayMain(int argc, const char* const* argv);

}  // namespace dbsp::replay
