// SPDX-License-Identifier: Apache-2.0
#include "db/open.h"

#include <sqlite3.h>

#include <string>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "db/schema.h"

namespace dbsp::db {
namespace fs = std::filesystem;
namespace {

constexpr int kSnapshotAttempts = 20;

fs::path LogOf(const fs::path& path) { return path.string() + "-wal"; }

bool HasLog(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(LogOf(path), error);
  return !error && size > 0;
}

void RequireFile(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    Fail(ErrorCode::kNotFound,
         "{}: no such database; dbsp-profile --db {} makes it",
         path.string(),
         path.string());
  }
  if (error) Fail(ErrorCode::kIo, "{}: {}", path.string(), error.message());
  if (!fs::is_regular_file(status)) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected a database file, found something that is not a regular file",
         path.string());
  }
}

/// SQLite writes whole pages, and reads a truncated last page as if zeros followed. A file with a
/// log is not checked: it may be in the middle of an extension, and the log holds the missing
/// pages.
void CheckWholePages(const fs::path& path, std::int64_t size) {
  constexpr std::int64_t kSmallestPage = 512;
  if (HasLog(path) || size % kSmallestPage == 0) return;
  Fail(ErrorCode::kCorruptInput,
       "{}: expected a database of whole pages, found {} bytes; the file is truncated or not a "
       "database",
       path.string(),
       size);
}

/// Checks every page, index and constraint that SQLite can check without a full sort.
void CheckSound(const Connection& connection) {
  const std::string problem = connection.Text("PRAGMA quick_check(1)");
  if (problem == "ok") return;
  Fail(ErrorCode::kCorruptInput,
       "{}: damaged database: {}; restore it or measure into a new file",
       connection.label(),
       problem.substr(0, problem.find('\n')));
}

Connection InMemory(const fs::path& path) {
  return Connection(
      ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, path.string());
}

/// Reads a file without a log as plain bytes, because SQLite would make -wal and -shm files to read
/// it. Returns false when a log appeared or the time of the file changed: a writer has started, and
/// the caller tries again.
bool ReadImage(const fs::path& path, Connection& memory) {
  std::error_code error;
  const auto before = fs::last_write_time(path, error);
  const std::string image = ReadFile(path);
  if (HasLog(path) || fs::last_write_time(path, error) != before) return false;
  CheckWholePages(path, static_cast<std::int64_t>(image.size()));
  if (!image.empty()) memory.LoadImage(image);
  return true;
}

/// Reads a file with a log through SQLite, opened read-only.
void CopyThroughLog(const fs::path& path, int busy_timeout_ms, Connection& memory) {
  Connection file(path.string(), SQLITE_OPEN_READONLY, path.string());
  file.SetBusyTimeout(busy_timeout_ms);
  memory.CopyFrom(file);
}

Connection OpenSnapshot(const fs::path& path, int busy_timeout_ms) {
  RequireFile(path);
  Connection memory = InMemory(path);
  for (int attempt = 0;; ++attempt) {
    if (HasLog(path) || attempt == kSnapshotAttempts) {
      CopyThroughLog(path, busy_timeout_ms, memory);
      break;
    }
    if (ReadImage(path, memory)) break;
    sqlite3_sleep(1 + attempt);
  }
  CheckIdentity(memory, EmptyFile::kRefused);
  CheckSound(memory);
  Migrate(memory, NewestVersion());
  memory.Run("PRAGMA query_only = ON");
  return memory;
}

/// Switching to WAL needs exclusive access, and SQLite does not wait for it.
void EnterWal(Connection& connection, int busy_timeout_ms) {
  for (int waited = 0;; waited += 10) {
    Statement pragma = connection.Prepare("PRAGMA journal_mode = WAL");
    const int code = [&] {
      try {
        return pragma.Step() && pragma.Text(0) == "wal" ? SQLITE_OK : SQLITE_BUSY;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kIo || waited >= busy_timeout_ms) throw;
        return SQLITE_BUSY;
      }
    }();
    if (code == SQLITE_OK) return;
    if (waited >= busy_timeout_ms) connection.Check(SQLITE_BUSY, "cannot write");
    sqlite3_sleep(10);
  }
}

}  // namespace

Connection OpenFile(const fs::path& path, OpenMode mode, int busy_timeout_ms) {
  if (mode == OpenMode::kReadOnly) return OpenSnapshot(path, busy_timeout_ms);
  std::error_code error;
  const bool make = mode == OpenMode::kCreate && !fs::exists(path, error);
  if (!make) {
    RequireFile(path);
    const auto size = fs::file_size(path, error);
    if (!error) CheckWholePages(path, static_cast<std::int64_t>(size));
  }
  const int flags = SQLITE_OPEN_READWRITE | (make ? SQLITE_OPEN_CREATE : 0);
  Connection connection(path.string(), flags, path.string());
  connection.SetBusyTimeout(busy_timeout_ms);
  CheckIdentity(connection, mode == OpenMode::kCreate ? EmptyFile::kAllowed : EmptyFile::kRefused);
  CheckSound(connection);
  // SQLite opens a file without write permission as read-only and reports it at the first write.
  if (sqlite3_db_readonly(connection.get(), "main") != 0) {
    Fail(ErrorCode::kIo, "{}: read-only; check the file's permissions", path.string());
  }
  connection.Run("PRAGMA foreign_keys = ON");
  Migrate(connection, NewestVersion());
  EnterWal(connection, busy_timeout_ms);
  // A power cut may lose the last trials but never damages the file. A killed process loses
  // nothing.
  connection.Run("PRAGMA synchronous = NORMAL");
  return connection;
}

}  // namespace dbsp::db
