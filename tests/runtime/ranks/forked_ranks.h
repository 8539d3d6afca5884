// SPDX-License-Identifier: Apache-2.0
// Forked ranks of one test. Each runs a body and exits; rank 0 is the test itself, unless it is
// forked, too.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file_descriptor.h"
#include "runtime/ranks/listener.h"
#include "runtime/ranks/process_group.h"

namespace dbsp::testing {

/// Exit codes of a rank: 0, kEndedByRankZero, or kFailed for any other exception.
inline constexpr int kEndedByRankZero = 7;
inline constexpr int kFailed = 8;

class ForkedRanks {
 public:
  explicit ForkedRanks(int size)
      : size_(size), listener_(runtime::Listener::Open("127.0.0.1", 0, true)) {
    port_ = listener_.port();
    int ends[2];
    if (::pipe(ends) != 0) ::abort();
    gate_read_.Reset(ends[0]);
    gate_write_.Reset(ends[1]);
  }
  ~ForkedRanks() {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  ForkedRanks(const ForkedRanks&) = delete;
  ForkedRanks& operator=(const ForkedRanks&) = delete;

  [[nodiscard]] runtime::GroupOptions Options(int rank) const {
    runtime::GroupOptions options;
    options.rank = rank;
    options.size = size_;
    options.rendezvous = {.host = "127.0.0.1", .port = port_};
    options.token = "the token of the test";
    options.build = "dbsp test";
    options.deadline_ns = 20'000'000'000;
    return options;
  }
  runtime::GroupOptions Zero() {
    runtime::GroupOptions options = Options(0);
    options.listener = std::move(listener_);
    return options;
  }
  /// Forks a rank that joins and runs `body`, at once or after OpenGate().
  enum class When { kAtOnce, kAfterGate };
  pid_t Fork(runtime::GroupOptions options,
             const std::function<void(runtime::ProcessGroup&)>& body,
             When when = When::kAtOnce) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      listener_ = {};
      gate_write_.Reset();
      char byte = 0;
      // Returns 0 when no process can write to the gate any more.
      if (when == When::kAfterGate && ::read(gate_read_.get(), &byte, 1) != 0) ::_exit(kFailed);
      int code = 0;
      try {
        body(*runtime::ProcessGroup::Join(std::move(options)));
      } catch (const runtime::EndedByRankZero&) {
        code = kEndedByRankZero;
      } catch (const std::exception&) {
        code = kFailed;
      }
      ::_exit(code);
    }
    pids_.push_back(pid);
    return pid;
  }
  void OpenGate() { gate_write_.Reset(); }
  /// The exit code of a forked rank that has ended, or minus its signal.
  int Code(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    std::erase(pids_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  int size_;
  runtime::Listener listener_;
  int port_ = 0;
  runtime::FileDescriptor gate_read_;
  runtime::FileDescriptor gate_write_;
  std::vector<pid_t> pids_;
};

}  // namespace dbsp::testing
