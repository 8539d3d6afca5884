// SPDX-License-Identifier: Apache-2.0
// Runs a part of a test in a process of its own, which may give up the rights of root.
#pragma once

#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace dbsp::testing {

inline constexpr uid_t kNobody = 65534;

/// Gives root's rights up: root ignores the permissions of files and the limit of processes.
inline void BecomeNobody() {
  if (::geteuid() != 0) return;
  if (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(99);
}

/// From now on this process can start no thread.
inline void ForbidThreads() {
  const rlimit one{1, 1};
  if (::setrlimit(RLIMIT_NPROC, &one) != 0) ::_exit(98);
}

/// Runs `body` in a child. Returns the exit code, or minus the signal that ended it.
inline int InChild(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 97;
    try {
      code = body();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace dbsp::testing
