// SPDX-License-Identifier: Apache-2.0
// WriteFileAtomically() of core/file.h.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "core/file_handle.h"
#include "core/output.h"
#include "core/output_target.h"
#include "core/stop_signals.h"

namespace dbsp {
namespace {

namespace fs = std::filesystem;
using internal::FileHandle;
using internal::OutputTarget;

constexpr const char* kPrefix = ".dbsp-";
constexpr const char* kSuffix = ".tmp";
constexpr const char* kUnknownMachine = "00000000";
constexpr std::time_t kOldSeconds = 24 * 3600;

[[noreturn]] void FailOutput(const fs::path& path, const char* what) {
  const int error = errno;
  Fail(ErrorCode::kIo, "{}: {}: {}", OutputName(path), what, std::strerror(error));
}

void WriteAll(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      FailOutput(path, "cannot write");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// 8 digits that differ between hosts, boots and process-id namespaces: only with equal digits does
/// a process id say whether the writer of a temporary file lives.
const std::string& Machine() {
  static const std::string machine = [] {
    try {
      const std::string boot = ReadFile("/proc/sys/kernel/random/boot_id");
      std::error_code error;
      const fs::path names = fs::read_symlink("/proc/self/ns/pid", error);
      if (error) return std::string(kUnknownMachine);
      return HashBytes(boot + names.string()).substr(0, 8);
    } catch (const Error&) {
      return std::string(kUnknownMachine);
    }
  }();
  return machine;
}

struct TemporaryName {
  std::string machine;
  pid_t writer = 0;
};

/// Parts of ".dbsp-MACHINE-PID-XXXXXX.tmp"; nothing for other names.
std::optional<TemporaryName> ParseTemporary(std::string_view name) {
  const std::string_view prefix = kPrefix;
  const std::string_view suffix = kSuffix;
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (name.size() < suffix.size()) return std::nullopt;
  name.remove_suffix(suffix.size());
  TemporaryName parts{std::string(name.substr(0, 8)), 0};
  const bool digits = std::all_of(parts.machine.begin(), parts.machine.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (!digits || name.size() < 9 || name[8] != '-') return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [stop, problem] = std::from_chars(name.data() + 9, end, parts.writer);
  constexpr std::ptrdiff_t kRandom = 7;  // "-XXXXXX"
  if (problem != std::errc() || parts.writer < 1 || end - stop != kRandom || *stop != '-') {
    return std::nullopt;
  }
  return parts;
}

/// Removes this user's temporary files whose writer has ended, or that are a day old. Failures do
/// not matter: the next writer tries again.
void RemoveDeadTemporaries(const fs::path& folder) {
  // std::filesystem's iterator ends the process where memory runs out.
  struct Close {
    void operator()(DIR* listed) const { ::closedir(listed); }
  };
  const std::unique_ptr<DIR, Close> listed(::opendir(folder.c_str()));
  while (const dirent* entry = listed ? ::readdir(listed.get()) : nullptr) {
    const auto parts = ParseTemporary(entry->d_name);
    const int at = ::dirfd(listed.get());
    struct stat info {};
    if (!parts || ::fstatat(at, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || info.st_nlink != 1) continue;
    const bool known = parts->machine == Machine() && parts->machine != kUnknownMachine;
    const bool dead = known && ::kill(parts->writer, 0) != 0 && errno == ESRCH;
    if (dead || std::time(nullptr) - info.st_mtime > kOldSeconds) ::unlinkat(at, entry->d_name, 0);
  }
}

mode_t ModeOfNewFiles() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

/// Gives the new file the mode of the old one, and its owner where the system allows it.
void TakeMode(int fd, const std::optional<struct stat>& old, const fs::path& path) {
  if (!old) {
    if (::fchmod(fd, ModeOfNewFiles()) != 0) FailOutput(path, "cannot set the mode");
    return;
  }
  struct stat fresh {};
  if (::fstat(fd, &fresh) != 0) FailOutput(path, "cannot stat");
  bool same = fresh.st_uid == old->st_uid && fresh.st_gid == old->st_gid;
  if (!same) same = ::fchown(fd, old->st_uid, old->st_gid) == 0;
  if (!same && ::fchown(fd, static_cast<uid_t>(-1), old->st_gid) != 0) errno = 0;
  const mode_t kept = same ? 07777 : 0777;
  if (::fchmod(fd, old->st_mode & kept) != 0) FailOutput(path, "cannot set the mode");
}

/// Replaces the name `target` by a new file. `set_mode` acts on its descriptor.
template <typename SetMode>
void Replace(const fs::path& path,
             const fs::path& target,
             std::string_view bytes,
             const SetMode& set_mode) {
  const fs::path folder = internal::FolderOf(target);
  RemoveDeadTemporaries(folder);
  auto [temporary, file] = internal::MakeTemporary(folder);
  if (file.get() < 0) FailOutput(path, "cannot write");
  const UnfinishedFile unfinished(temporary);
  try {
    WriteAll(file.get(), bytes, path);
    set_mode(file.get());
    if (::fsync(file.get()) != 0) FailOutput(path, "cannot sync");
    if (file.Close() != 0) FailOutput(path, "cannot close");
    if (::rename(temporary.c_str(), target.c_str()) != 0)
      FailOutput(path, "cannot rename into place");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const FileHandle directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
}

/// Overwrites a file that has other names. Space is reserved before the old content is touched.
void WriteInPlace(const fs::path& path, const fs::path& target, std::string_view bytes) {
  const FileHandle file(::open(target.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) FailOutput(path, "cannot write");
  const std::string old = ReadFile(target);
  const auto size = static_cast<off_t>(bytes.size());
  const auto old_size = static_cast<off_t>(old.size());
  try {
    if (size > old_size) {
      const int error = ::posix_fallocate(file.get(), old_size, size - old_size);
      if (error != 0 && error != EOPNOTSUPP && error != EINVAL) {
        errno = error;
        FailOutput(path, "cannot write");
      }
    }
    if (::lseek(file.get(), 0, SEEK_SET) != 0) FailOutput(path, "cannot write");
    WriteAll(file.get(), bytes, path);
    if (::ftruncate(file.get(), size) != 0) FailOutput(path, "cannot write");
    if (::fsync(file.get()) != 0) FailOutput(path, "cannot sync");
  } catch (const Error&) {
    std::string_view rest = old;
    while (!rest.empty()) {
      const auto done = static_cast<off_t>(old.size() - rest.size());
      const ssize_t written = ::pwrite(file.get(), rest.data(), rest.size(), done);
      if (written <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::ftruncate(file.get(), old_size) != 0) errno = 0;  // the first error is the cause
    throw;
  }
}

void WriteSpecial(const OutputTarget& target, const fs::path& path, std::string_view bytes) {
  const mode_t mode = target.info->st_mode;
  if (S_ISFIFO(mode)) {
    WriteAll(internal::OpenFifo(target.path).get(), bytes, path);
    return;
  }
  if (!S_ISCHR(mode)) {
    Fail(ErrorCode::kIo,
         "{}: cannot write: it is a {}; give the path of a file",
         path.string(),
         S_ISDIR(mode) ? "folder" : (S_ISBLK(mode) ? "block device" : "socket"));
  }
  FileHandle file(::open(target.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) FailOutput(path, "cannot write");
  WriteAll(file.get(), bytes, path);
  if (file.Close() != 0) FailOutput(path, "cannot close");
}

}  // namespace

internal::TemporaryFile internal::MakeTemporary(const fs::path& folder) {
  std::string name =
      (folder / fmt::format("{}{}-{}-XXXXXX{}", kPrefix, Machine(), ::getpid(), kSuffix)).string();
  const int fd = ::mkostemps(name.data(), static_cast<int>(std::strlen(kSuffix)), O_CLOEXEC);
  return {std::move(name), FileHandle(fd)};
}

void WriteFileAtomically(const fs::path& path, std::string_view bytes) {
  const OutputTarget target = internal::TargetOf(path);
  if (target.descriptor) {
    SayKept("the output is not complete");
    if (*target.descriptor == STDOUT_FILENO && std::fflush(stdout) != 0) {
      FailOutput(path, "cannot write");
    }
    WriteAll(*target.descriptor, bytes, path);
  } else if (target.info && !S_ISREG(target.info->st_mode)) {
    SayKept("the output is not complete");
    WriteSpecial(target, path, bytes);
  } else if (internal::IsWrittenInPlace(target)) {
    SayKept("the output is not complete");
    WriteInPlace(path, target.path, bytes);
  } else {
    Replace(path, target.path, bytes, [&](int fd) { TakeMode(fd, target.info, path); });
  }
  SayKept("finished outputs are kept");
}

}  // namespace dbsp
