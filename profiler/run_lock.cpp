// SPDX-License-Identifier: Apache-2.0
#include "profiler/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"

namespace dbsp::profiler {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTitle = "dbsp-profile, process ";

std::string Host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

enum class Outcome : std::uint8_t { kHeld, kTaken, kForeign, kImpossible };

struct Attempt {
  Outcome outcome = Outcome::kImpossible;
  int descriptor = -1;  ///< of kHeld
  std::string text = {};  ///< content of the file, or the error of the system
};

std::string ContentOf(int descriptor) {
  std::array<char, 512> bytes{};
  const ssize_t size = ::pread(descriptor, bytes.data(), bytes.size(), 0);
  std::string text(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return dbsp::internal::OneLine(text.substr(0, text.find('\n')));
}

bool IsAt(int descriptor, const fs::path& path) {
  struct stat open_file {};
  struct stat named_file {};
  return ::fstat(descriptor, &open_file) == 0 && ::lstat(path.c_str(), &named_file) == 0 &&
         open_file.st_dev == named_file.st_dev && open_file.st_ino == named_file.st_ino;
}

/// Locks the open file and writes who holds it.
Attempt LockOpen(int descriptor) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    return {.outcome = Outcome::kForeign};
  }
  const std::string before = ContentOf(descriptor);
  if (!before.empty() && !before.starts_with(kTitle)) return {.outcome = Outcome::kForeign};
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const bool taken = errno == EWOULDBLOCK;
    return {.outcome = taken ? Outcome::kTaken : Outcome::kImpossible,
            .text = taken ? before : std::strerror(errno)};
  }
  const std::string holder =
      fmt::format("{}{} on {} since {}\n", kTitle, ::getpid(), Host(), NowUtc());
  const bool written =
      ::ftruncate(descriptor, 0) == 0 &&
      ::pwrite(descriptor, holder.data(), holder.size(), 0) == static_cast<ssize_t>(holder.size());
  return {.outcome = Outcome::kHeld,
          .descriptor = descriptor,
          .text = written ? "" : std::strerror(errno)};
}

Attempt TryLock(const fs::path& path) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    constexpr int kFlags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | kFlags, 0644);
    // Another user's file can still be locked.
    if (descriptor < 0 && errno == EACCES) descriptor = ::open(path.c_str(), O_RDONLY | kFlags);
    if (descriptor < 0) {
      const bool link = errno == ELOOP || errno == EISDIR || errno == ENXIO;
      return {.outcome = link ? Outcome::kForeign : Outcome::kImpossible,
              .text = std::strerror(errno)};
    }
    Attempt attempt = LockOpen(descriptor);
    if (attempt.outcome != Outcome::kHeld) {
      ::close(descriptor);
      return attempt;
    }
    // The holder before may have removed the file between open and lock.
    if (IsAt(descriptor, path)) return attempt;
    ::close(descriptor);
  }
  return {.text = "the file changes all the time"};
}

}  // namespace

RunLock::RunLock(const fs::path& database) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(database, error);
  const fs::path path = (error ? database : real).string() + ".lock";
  const Attempt mine = TryLock(path);
  const bool same_host = mine.text.find(" on " + Host() + " since ") != std::string::npos;
  if (mine.outcome == Outcome::kForeign) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: expected a lock file of dbsp-profile, found something else; move it "
         "away",
         path.string());
  }
  if (mine.outcome == Outcome::kTaken && (same_host || mine.text.empty())) {
    Fail(
        ErrorCode::kIo,
        "{}: another profiler measures into it ({}); two at once disturb each other: wait until it "
        "ends, or end it",
        database.string(),
        mine.text.empty() ? "its lock is " + path.string() : mine.text);
  }
  if (mine.outcome == Outcome::kTaken) {
    Progress(
        fmt::format("note: another host measures into {} too: {}", database.string(), mine.text));
  }
  if (mine.outcome == Outcome::kHeld) held_.push_back({path, mine.descriptor});
  if (mine.outcome == Outcome::kImpossible && fs::exists(path, error)) {
    Progress(fmt::format(
        "note: {}: no lock: {}; a second profiler would not be noticed", path.string(), mine.text));
  }
}

void RunLock::NoteOthers() {
  std::error_code error;
  const fs::path folder = fs::temp_directory_path(error);
  if (error) return;
  const fs::path host = folder / fmt::format("dbsp-profile-{}.lock", ::geteuid());
  const Attempt all = TryLock(host);
  if (all.outcome == Outcome::kHeld) held_.push_back({host, all.descriptor});
  if (all.outcome == Outcome::kTaken) {
    Progress(
        fmt::format("note: another profiler measures on this host ({}): both disturb each "
                    "other's measurements",
                    all.text));
  }
}

RunLock::~RunLock() {
  for (const Held& held : held_) {
    std::error_code ignored;
    fs::remove(held.path, ignored);
    ::close(held.descriptor);
  }
}

}  // namespace dbsp::profiler
