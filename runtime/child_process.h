// SPDX-License-Identifier: Apache-2.0
// Processes that dbsp starts of itself, and that never outlive it: the system ends them when their
// parent ends, and the object ends and reaps them when it goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/file_descriptor.h"

namespace dbsp::runtime {

struct ChildOptions {
  std::vector<std::string> argv;  ///< argv[0] included
  std::map<std::string, std::string> variables;  ///< set in the child, over what is inherited
  /// Kept open in the child; what else is open is closed there where it was opened close-on-exec.
  int keep_open = -1;
};

/// A running copy of this program. Standard input is empty; its standard output goes to standard
/// error, which is this process's: nothing but this process writes to standard output.
/// threads  one; the thread that starts it must not end before it
class ChildProcess {
 public:
  /// errors  Error{kUnavailable} when the system starts no more processes
  static ChildProcess Start(const ChildOptions& options);
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// How it ended, "ended with exit code 3", "was killed by signal 9 (Killed)"; nothing while it
  /// runs. Reaps it.
  [[nodiscard]] std::optional<std::string> Ended();
  /// The same after waiting for so long.
  [[nodiscard]] std::optional<std::string> WaitFor(std::int64_t deadline_ns);
  /// Ends it at once, also when it is stopped, and reaps it.
  void Kill();

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
  std::optional<std::string> ended_;
};

/// Called first in a program that may be such a child: ends with its parent from now on, and at
/// once when that has ended already. Does nothing in a program started otherwise.
void EndWithParent();

}  // namespace dbsp::runtime
