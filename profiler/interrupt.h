// SPDX-License-Identifier: Apache-2.0
// Ctrl-C of a tool that keeps what it has finished.
#pragma once

namespace dbsp::profiler {

/// From now on Ctrl-C is noted and no more.
void CatchSigint();
[[nodiscard]] bool Interrupted();
/// As if the user had: another rank's process was told.
void NoteInterrupt();
/// A process that a signal ended tells its shell so: scripts that loop over runs stop too.
[[noreturn]] void DieBySigint();

}  // namespace dbsp::profiler
