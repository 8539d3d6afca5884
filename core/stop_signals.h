// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM and SIGHUP. Every tool ends by the signal, so that a shell, a launcher or a batch
// system sees the cause (exit code 128 + signal in a shell), and says on stderr what was kept. A
// signal that is ignored at the start, as by nohup, stays ignored.
#pragma once

#include <string>

namespace dbsp {

/// From now on a signal prints "TOOL: stopped by SIGTERM: KEPT", removes the unfinished temporary
/// file, and ends the process.
void EndOnSignals(const std::string& tool);

/// Sets KEPT, at first "nothing was written". `kept` must live as long as the process.
void SayKept(const char* kept);

/// After this call the first signal does not end the process: Interrupted() returns true, and the
/// tool ends by itself. A second signal, at least one second later, ends the process at once as
/// above. An earlier one is ignored, because timeout(1) and launchers send the same signal to a
/// process and to its group.
void NoteSignals();
/// Whether a signal was noted.
[[nodiscard]] bool Interrupted();
/// Notes SIGINT because another rank was interrupted.
void NoteInterrupt();
/// Ends this process by the noted signal, or by SIGINT.
[[noreturn]] void DieBySignal();

/// Names a file that a signal removes while the object lives. One at a time per process; others
/// are left to the next writer in the folder.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::string& path);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

 private:
  bool named_ = false;
};

}  // namespace dbsp
