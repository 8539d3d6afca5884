// SPDX-License-Identifier: Apache-2.0
// A program that runs in the background of a test, with its output. It ends with the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/temporary_folder.h"

namespace dbsp::testing {

/// Polls `reached` until it is true or the time is over.
inline bool Eventually(const std::function<bool()>& reached,
                       std::chrono::milliseconds longest = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + longest;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

class BackgroundProcess {
 public:
  BackgroundProcess(const std::vector<std::string>& argv,
                    const std::map<std::string, std::string>& variables = {}) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // A background job of a shell inherits an ignored SIGINT, and nohup an ignored SIGHUP.
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    if (std::freopen("/dev/null", "r", stdin) == nullptr ||
        std::freopen((folder_ / "out").c_str(), "w", stdout) == nullptr ||
        std::freopen((folder_ / "err").c_str(), "w", stderr) == nullptr) {
      ::_exit(126);
    }
    std::vector<char*> arguments;
    for (const std::string& argument : argv)
      arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~BackgroundProcess() {
    if (status_) return;
    Signal(SIGKILL);
    (void)Status();
  }
  BackgroundProcess(const BackgroundProcess&) = delete;
  BackgroundProcess& operator=(const BackgroundProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void Signal(int signal) const { ::kill(pid_, signal); }
  /// Waits for the program and returns its wait status.
  int Status() {
    int status = 0;
    if (!status_ && ::waitpid(pid_, &status, 0) == pid_) status_ = status;
    return status_.value_or(-1);
  }
  /// The exit code, or minus the signal that ended the program.
  int Code() {
    const int status = Status();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] std::string Out() const { return Text("out"); }
  [[nodiscard]] std::string Err() const { return Text("err"); }
  /// Running child processes of the program.
  [[nodiscard]] std::vector<pid_t> Children() const {
    const std::string id = std::to_string(pid_);
    std::ifstream list("/proc/" + id + "/task/" + id + "/children");
    std::vector<pid_t> children;
    for (pid_t child = 0; list >> child;) children.push_back(child);
    return children;
  }

 private:
  [[nodiscard]] std::string Text(const char* name) const {
    std::ifstream file(folder_ / name);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

}  // namespace dbsp::testing
