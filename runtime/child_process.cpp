// SPDX-License-Identifier: Apache-2.0
#include "runtime/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::runtime {
namespace {

constexpr const char* kParentVariable = "DBSP_PARENT";

std::string DescribeExit(int status) {
  if (WIFSIGNALED(status)) {
    return fmt::format(
        "was killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

std::vector<std::string> EnvironmentWith(std::map<std::string, std::string> variables) {
  variables[kParentVariable] = std::to_string(::getpid());
  std::vector<std::string> texts;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string text = *at;
    if (!variables.contains(text.substr(0, text.find('=')))) texts.push_back(text);
  }
  for (const auto& [name, value] : variables) texts.push_back(name + "=" + value);
  return texts;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct FileActions {
  FileActions() { ::posix_spawn_file_actions_init(&actions); }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t actions{};
};

/// Spawn attributes with no blocked signals, whatever this process blocks.
struct SignalDefaults {
  SignalDefaults() {
    ::posix_spawnattr_init(&attributes);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  }
  ~SignalDefaults() { ::posix_spawnattr_destroy(&attributes); }
  SignalDefaults(const SignalDefaults&) = delete;
  SignalDefaults& operator=(const SignalDefaults&) = delete;
  posix_spawnattr_t attributes{};
};

}  // namespace

ChildProcess ChildProcess::Start(const ChildOptions& options) {
  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> environment = EnvironmentWith(options.variables);
  FileActions files;
  ::posix_spawn_file_actions_addopen(&files.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files.actions, STDERR_FILENO, STDOUT_FILENO);
  if (options.keep_open) {
    // Duplicating a descriptor onto itself clears close-on-exec in the child only.
    ::posix_spawn_file_actions_adddup2(&files.actions, *options.keep_open, *options.keep_open);
  }
  const SignalDefaults defaults;
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid,
                                  "/proc/self/exe",
                                  &files.actions,
                                  &defaults.attributes,
                                  Pointers(arguments).data(),
                                  Pointers(environment).data());
  if (error != 0) {
    Fail(ErrorCode::kUnavailable, "cannot start another dbsp process: {}", std::strerror(error));
  }
  return ChildProcess(pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ended_(std::move(other.ended_)) {}

ChildProcess::~ChildProcess() {
  if (pid_ > 0 && !ended_) Kill();
}

std::optional<std::string> ChildProcess::Ended() {
  if (ended_) return ended_;
  int status = 0;
  const pid_t found = ::waitpid(pid_, &status, WNOHANG);
  if (found == pid_) ended_ = DescribeExit(status);
  if (found < 0 && errno == ECHILD) ended_ = "was reaped elsewhere";
  return ended_;
}

std::optional<std::string> ChildProcess::WaitFor(std::int64_t deadline_ns) {
  const std::int64_t end = SteadyNs() + deadline_ns;
  while (!Ended() && SteadyNs() < end) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return ended_;
}

void ChildProcess::Kill() {
  if (Ended()) return;
  (void)::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = DescribeExit(status);
}

void EndWithParent() {
  const char* parent = std::getenv(kParentVariable);
  if (parent == nullptr) return;
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have ended before that call.
  if (std::to_string(::getppid()) != parent) ::_exit(1);
  // The children of this process have another parent.
  ::unsetenv(kParentVariable);
}

}  // namespace dbsp::runtime
