// SPDX-License-Identifier: Apache-2.0
#include "runtime/library_search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/clock.h"
#include "runtime/file_descriptor.h"

namespace dbsp::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPythonDeadlineNs = 5'000'000'000;

/// The value of an environment variable; "" when it is not set.
std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// What python3 printed, or why it printed nothing usable.
struct PythonAnswer {
  std::string output;
  std::string problem;  ///< "" when `output` is complete
};

struct SpawnSettings {
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    // A group of its own, so that a wrapper script and the python3 it starts end together.
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
};

/// Reads until the end of the file. Returns false at the deadline or after an error.
bool ReadAll(int file, std::int64_t deadline, std::string& text) {
  std::array<char, 4096> bytes{};
  for (;;) {
    const std::int64_t left_ms = (deadline - SteadyNs()) / 1'000'000;
    pollfd ready{.fd = file, .events = POLLIN, .revents = 0};
    const int count = left_ms <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left_ms));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    const ssize_t got = ::read(file, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

PythonAnswer AskPython() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {"", "could not be started"};
  const FileDescriptor output(ends[0]);
  FileDescriptor input(ends[1]);
  SpawnSettings settings;
  ::posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&settings.files, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&settings.files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::array<std::string, 3> words = {
      "python3",
      "-c",
      R"(import os, sys; sys.stdout.buffer.write(os.fsencode("\n".join(sys.path))))"};
  std::array<char*, 4> argv = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawnp(&pid, "python3", &settings.files, &settings.attributes, argv.data(), environ);
  if (error == ENOENT) return {"", "was not found"};
  if (error != 0) return {"", fmt::format("could not be started: {}", std::strerror(error))};
  input.Reset();
  PythonAnswer answer;
  const std::int64_t deadline = SteadyNs() + kPythonDeadlineNs;
  bool in_time = ReadAll(output.get(), deadline, answer.output);
  int status = 0;
  pid_t ended = 0;
  while (in_time && (ended = ::waitpid(pid, &status, WNOHANG)) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    in_time = SteadyNs() < deadline;
  }
  if (!in_time) {
    (void)::kill(-pid, SIGKILL);
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (!in_time) {
    answer.problem = "did not answer within 5 s";
  } else if (ended != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    answer.problem = "failed";
  }
  return answer;
}

LibraryPlace FindPythonFolders() {
  const PythonAnswer answer = AskPython();
  if (!answer.problem.empty()) {
    return {fmt::format("python3's packages (python3 on PATH {})", answer.problem), {}};
  }
  LibraryPlace place;
  std::vector<std::string> searched;
  for (const std::string& line : Split(answer.output, '\n')) {
    std::error_code ignored;
    // The first entry is the current folder, where nobody installs packages.
    if (!line.starts_with('/') || !fs::is_directory(line, ignored)) continue;
    if (line.ends_with("-packages") || fs::is_directory(line + "/nvidia", ignored)) {
      searched.push_back(line);
    }
    std::vector<std::string> found;
    for (fs::directory_iterator at(line + "/nvidia", ignored), end; !ignored && at != end;
         at.increment(ignored)) {
      std::error_code unreadable;
      const fs::path folder = at->path() / "lib";
      if (fs::is_directory(folder, unreadable)) found.push_back(folder.string());
    }
    std::sort(found.begin(), found.end());
    place.folders.insert(place.folders.end(), found.begin(), found.end());
  }
  place.description =
      fmt::format("python3's packages (nvidia/*/lib of {})",
                  searched.empty() ? "no folder" : fmt::format("{}", fmt::join(searched, ", ")));
  return place;
}

}  // namespace

LibraryPlace UserLibraryPlace() {
  const std::string value = Variable("DBSP_LIBRARY_PATH");
  return {fmt::format("DBSP_LIBRARY_PATH ({})", value.empty() ? "not set" : value),
          Split(value, ':')};
}

LibraryPlace CudaLibraryPlace() {
  std::vector<std::string> roots;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    const std::string root = Variable(name);
    if (!root.empty() && std::find(roots.begin(), roots.end(), root) == roots.end()) {
      roots.push_back(root);
    }
  }
  if (roots.empty()) roots.emplace_back("/usr/local/cuda");
  LibraryPlace place;
  for (const std::string& root : roots) {
    for (const char* folder : {"/lib64", "/lib", "/extras/CUPTI/lib64"}) {
      place.folders.push_back(root + folder);
    }
  }
  place.description = fmt::format("CUDA's folders ({})", fmt::join(place.folders, ", "));
  return place;
}

LibraryPlace PythonLibraryPlace() {
  static std::mutex mutex;
  static std::map<std::string, LibraryPlace> places;  // by PATH
  const std::scoped_lock lock(mutex);
  const std::string path = Variable("PATH");
  const auto known = places.find(path);
  if (known != places.end()) return known->second;
  return places.emplace(path, FindPythonFolders()).first->second;
}

}  // namespace dbsp::runtime
