// SPDX-License-Identifier: Apache-2.0
#include "db/open.h"

#include <sqlite3.h>

#include <string>
#include <system_error>

#include "core/error.h"
#include "db/recovery.h"
#include "db/schema.h"

namespace dbsp::db {
namespace fs = std::filesystem;
namespace {

constexpr int kSnapshotAttempts = 20;
/// A snapshot is in memory.
constexpr std::int64_t kMostBytes = std::int64_t{4} << 30;

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
}

/// SQLite writes whole pages, and reads a truncated last page as if zeros followed. A file with a
/// journal is not checked: its writer may have been killed while it added pages.
void CheckSize(const fs::path& path, std::int64_t size) {
  constexpr std::int64_t kSmallestPage = 512;
  if (size % kSmallestPage != 0) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected a database of whole pages, found {} bytes; the file is truncated or not a "
         "database",
         path.string(),
         size);
  }
  if (size > kMostBytes) {
    Fail(ErrorCode::kCorruptInput,
         "{}: expected a database of at most 4 GiB, found {} bytes; measure into a new file",
         path.string(),
         size);
  }
}

bool IsEmpty(const fs::path& path) {
  std::error_code error;
  return fs::file_size(path, error) == 0 && !error;
}

/// The name behind symbolic links. SQLite looks for log and journal beside that one.
fs::path RealPath(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  return error ? path : real;
}

/// The checked content of the file in memory. Nothing is written to the file or beside it.
/// empty  whether a database whose first transaction is unfinished will do
Connection TakeSnapshot(const fs::path& path,
                        const std::string& label,
                        int busy_timeout_ms,
                        EmptyFile empty) {
  for (int attempt = 0; attempt < kSnapshotAttempts; ++attempt) {
    Connection memory = InMemory(label);
    Connection file(path.string(), SQLITE_OPEN_READONLY, label);
    file.SetBusyTimeout(busy_timeout_ms);
    // A reader of a log makes files beside it, and a reader of a hot journal cannot roll it back.
    const bool plain = !HasLog(path) && !UsesLog(file.FileBytes(100));
    if (plain) CheckSize(path, file.FileSize());
    if ((plain && memory.CopyFrom(file) == CopyResult::kDone) ||
        ReadRecovered(path, file, memory)) {
      CheckContent(memory, empty);
      memory.SetChecked();
      return memory;
    }
    sqlite3_sleep(1 + attempt);
  }
  Fail(ErrorCode::kIo, "{}: another process writes it all the time; end it or wait", label);
}

/// Ends the use of a write-ahead log, which dbsp 0.1 used. That needs exclusive access, and SQLite
/// does not wait for it.
void LeaveLog(Connection& connection, int busy_timeout_ms) {
  for (int waited = 0;; waited += 10) {
    Statement pragma = connection.Prepare("PRAGMA journal_mode = DELETE");
    const bool done = [&] {
      try {
        return pragma.Step() && pragma.Text(0) == "delete";
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kIo || waited >= busy_timeout_ms) throw;
        return false;
      }
    }();
    if (done) return;
    if (waited >= busy_timeout_ms) connection.Check(SQLITE_BUSY, "cannot write");
    sqlite3_sleep(10);
  }
}

}  // namespace

void CheckDatabasePath(const fs::path& path) {
  const std::string name = path.string();
  if (name.empty()) Fail(ErrorCode::kInvalidArgument, "expected the name of a database, found ''");
  if (name == ":memory:" || name.starts_with("file:")) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: expected the name of a file, found a name that SQLite gives a meaning to; write "
         "./{} for a file of this name",
         name,
         name);
  }
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status) || fs::is_regular_file(status)) return;
  Fail(ErrorCode::kCorruptInput,
       "{}: expected a database, found something that is not a regular file",
       name);
}

Connection OpenFile(const fs::path& named, OpenMode mode, int busy_timeout_ms) {
  CheckDatabasePath(named);
  const fs::path path = RealPath(named);
  const std::string label = named.string();
  RequireRegularRemains(path);
  std::error_code error;
  const bool fresh = mode == OpenMode::kCreate && (!fs::exists(path, error) || IsEmpty(path));
  if (fresh) {
    RequireNoRemains(path);
  } else {
    RequireFile(named);
    if (IsEmpty(path)) {
      Fail(ErrorCode::kCorruptInput, "{}: an empty file is no dbsp database", label);
    }
  }
  const EmptyFile empty = mode == OpenMode::kCreate ? EmptyFile::kAllowed : EmptyFile::kRefused;
  if (mode == OpenMode::kReadOnly) {
    Connection memory = TakeSnapshot(path, label, busy_timeout_ms, empty);
    Migrate(memory, NewestVersion());
    memory.Run("PRAGMA query_only = ON");
    return memory;
  }
  // The file is checked before anything writes to it, be it only SQLite's rollback.
  if (!fresh) (void)TakeSnapshot(path, label, busy_timeout_ms, empty);
  const int flags = SQLITE_OPEN_READWRITE | (fresh ? SQLITE_OPEN_CREATE : 0);
  Connection connection(path.string(), flags, label);
  connection.SetBusyTimeout(busy_timeout_ms);
  // SQLite opens a file without write permission as read-only and reports it at the first write.
  if (sqlite3_db_readonly(connection.get(), "main") != 0) {
    Fail(ErrorCode::kIo, "{}: read-only; check the file's permissions", label);
  }
  CheckIdentity(connection, empty);
  connection.Run("PRAGMA foreign_keys = ON");
  LeaveLog(connection, busy_timeout_ms);
  Migrate(connection, NewestVersion());
  connection.SetChecked();
  return connection;
}

}  // namespace dbsp::db
