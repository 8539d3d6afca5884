// SPDX-License-Identifier: Apache-2.0
// dbsp-profile: measures a suite of configurations on this machine and keeps every finished trial.
// It is a part of the library, so that tests can run the whole tool in their own process.
#pragma once

namespace dbsp::profiler {

/// The tool's main(). returns the exit code; after Ctrl-C the process ends by SIGINT
int ProfileMain(int argc, const char* const* argv);

}  // namespace dbsp::profiler
