// SPDX-License-Identifier: Apache-2.0
// Child processes that run this same program. A child never outlives its parent: the system ends it
// with the parent, and the destructor kills and reaps it.
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
  std::map<std::string, std::string> variables;  ///< set in the child in addition to this process's
  /// A file descriptor that the child inherits. Other descriptors that are close-on-exec are
  /// closed.
  std::optional<int> keep_open = {};
};

/// A running copy of this program. Its standard input is empty, and its standard output is this
/// process's standard error, so that only this process writes to standard output.
/// threads  one; the thread that starts the child must not end before the child
class ChildProcess {
 public:
  /// errors  Error{kUnavailable} when the system cannot start a process
  static ChildProcess Start(const ChildOptions& options);
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// How the child ended: "ended with exit code 3", "was killed by signal 9 (Killed)". Returns
  /// nothing while the child runs. Calls waitpid, so that an ended child leaves no zombie process.
  [[nodiscard]] std::optional<std::string> Ended();
  /// Waits until the child ends or the deadline passes; returns as Ended().
  [[nodiscard]] std::optional<std::string> WaitFor(std::int64_t deadline_ns);
  /// Kills the child at once, also when it is stopped, and reaps it.
  void Kill();

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_ = -1;
  std::optional<std::string> ended_;
};

/// Makes this process end with its parent, when it is a ChildProcess; otherwise does nothing. A
/// program that may be a child calls it first in main().
void EndWithParent();

}  // namespace dbsp::runtime
