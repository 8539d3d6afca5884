// SPDX-License-Identifier: Apache-2.0
// Ctrl-C in a tool that keeps its finished trials.
#pragma once

namespace dbsp::profiler {

/// From now on Ctrl-C only sets the flag that Interrupted() returns.
void CatchSigint();
[[nodiscard]] bool Interrupted();
/// Sets the flag because another rank was interrupted.
void NoteInterrupt();
/// Ends this process by SIGINT, so that a shell script around it stops too.
[[noreturn]] void DieBySigint();

}  // namespace dbsp::profiler
