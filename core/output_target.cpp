// SPDX-License-Identifier: Apache-2.0
#include "core/output_target.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <system_error>

#include "core/error.h"

namespace dbsp::internal {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;
constexpr int kFifoPolls = 60;
constexpr long kFifoPollNs = 50'000'000;

[[noreturn]] void FailToOpen(const fs::path& path, int error) {
  Fail(ErrorCode::kIo, "{}: cannot write: {}", path.string(), std::strerror(error));
}

/// N when `path` is an entry of this process's folder of descriptors.
std::optional<int> DescriptorOf(const fs::path& folder, const fs::path& path) {
  for (const char* own : {"/proc/self/fd", "/proc/thread-self/fd"}) {
    std::error_code error;
    if (folder != fs::canonical(own, error) || error) continue;
    const std::string name = path.filename().string();
    int number = -1;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (problem == std::errc() && end == name.data() + name.size() && number >= 0) return number;
  }
  return std::nullopt;
}

bool IsFolderOfDescriptors(const fs::path& folder) {
  const std::string text = folder.string();
  return text.starts_with("/proc/") && text.ends_with("/fd");
}

std::optional<struct stat> StatOf(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) return info;
  if (errno != ENOENT && errno != ENOTDIR) FailToOpen(path, errno);
  return std::nullopt;
}

OutputTarget OfDescriptor(int descriptor, const fs::path& path) {
  OutputTarget target{path, descriptor, std::nullopt, false};
  struct stat info {};
  if (::fstat(descriptor, &info) == 0) target.info = info;
  return target;
}

/// Whether standard output is the same file, pipe or terminal.
bool IsSameAsStandardOutput(const struct stat& info) {
  struct stat out {};
  if (::fstat(STDOUT_FILENO, &out) != 0 || out.st_dev != info.st_dev || out.st_ino != info.st_ino) {
    return false;
  }
  return !S_ISCHR(info.st_mode) || ::isatty(STDOUT_FILENO) != 0;
}

}  // namespace

fs::path FolderOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

OutputTarget TargetOf(const fs::path& path) {
  if (path == "-") return OfDescriptor(STDOUT_FILENO, path);
  fs::path at = path;
  for (int links = 0; links < kMaxLinks; ++links) {
    std::error_code error;
    const fs::path folder = fs::canonical(FolderOf(at), error);
    if (const auto descriptor = DescriptorOf(folder, at)) return OfDescriptor(*descriptor, path);
    if (IsFolderOfDescriptors(folder)) return {at, std::nullopt, StatOf(at), false};
    struct stat info {};
    if (::lstat(at.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) {
      OutputTarget target{at, std::nullopt, StatOf(at), true};
      if (target.info && IsSameAsStandardOutput(*target.info)) target.descriptor = STDOUT_FILENO;
      return target;
    }
    const fs::path next = fs::read_symlink(at, error);
    if (error) FailToOpen(path, error.value());
    at = next.is_absolute() ? next : FolderOf(at) / next;
  }
  Fail(ErrorCode::kIo,
       "{}: cannot write: a loop of symbolic links, or more than {}",
       path.string(),
       kMaxLinks);
}

bool IsWrittenInPlace(const OutputTarget& target) {
  return target.info && S_ISREG(target.info->st_mode) &&
         (!target.replaceable || target.info->st_nlink > 1);
}

FileHandle OpenFifo(const fs::path& path) {
  for (int poll = 0; poll < kFifoPolls; ++poll) {
    // Without O_NONBLOCK open() waits for a reader without end.
    FileHandle file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.get() >= 0) {
      if (::fcntl(file.get(), F_SETFL, O_WRONLY) != 0) FailToOpen(path, errno);
      return file;
    }
    if (errno != ENXIO && errno != EINTR) FailToOpen(path, errno);
    const timespec pause{0, kFifoPollNs};
    ::nanosleep(&pause, nullptr);
  }
  Fail(ErrorCode::kIo,
       "{}: cannot write: no process reads from this FIFO; start its reader first",
       path.string());
}

}  // namespace dbsp::internal
