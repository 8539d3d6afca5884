// SPDX-License-Identifier: Apache-2.0
// dbsp-profile: measures a suite of configurations on this machine and keeps every finished trial.
// A part of the library, so that tests run the whole tool in their own process.
#pragma once

namespace dbsp::profiler {

/// The tool's main(): flags, run, exit code. Ctrl-C ends the process by the signal.
int ProfileMain(int argc, const char* const* argv);

}  // namespace dbsp::profiler
