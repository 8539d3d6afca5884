// SPDX-License-Identifier: Apache-2.0
#include "db/sqlite.h"

#include <sqlite3.h>

#include <cstring>
#include <limits>

#include "core/error.h"

namespace dbsp::db {
namespace {

struct Verdict {
  ErrorCode code;
  const char* advice;
};

Verdict VerdictOf(int code) {
  switch (code & 0xFF) {
    case SQLITE_NOTADB:
      return {ErrorCode::kCorruptInput, "expected a dbsp database; name another file"};
    case SQLITE_CORRUPT:
      return {ErrorCode::kCorruptInput, "restore it or measure into a new file"};
    case SQLITE_FULL:
      return {ErrorCode::kIo, "free some space; finished trials are kept"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kIo, "another process holds the file; end it or wait"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return {ErrorCode::kIo, "check the path and its permissions"};
    case SQLITE_IOERR:
      return {ErrorCode::kIo, "check disk, quota and permissions"};
    default:
      return {ErrorCode::kInternal, "this is a fault of dbsp"};
  }
}

}  // namespace

void Connection::Close::operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }

Connection::Connection(const std::string& name, int flags, std::string label)
    : label_(std::move(label)) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &raw, flags | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(raw);
  if (raw == nullptr) throw std::bad_alloc();
  Check(code, "cannot open");
}

void Connection::Check(int code, std::string_view action) const {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  if ((code & 0xFF) == SQLITE_NOMEM) throw std::bad_alloc();
  const Verdict verdict = VerdictOf(code);
  Fail(verdict.code,
       "{}: {}: {} (SQLite code {}); {}",
       label_,
       action,
       sqlite3_errmsg(handle_.get()),
       code,
       verdict.advice);
}

void Connection::Run(const std::string& sql) {
  Check(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr), "cannot write");
}

Statement Connection::Prepare(std::string_view sql) const { return Statement(*this, sql); }

std::int64_t Connection::Integer(std::string_view sql) const {
  Statement statement = Prepare(sql);
  if (!statement.Step()) Fail(ErrorCode::kCorruptInput, "{}: no answer to '{}'", label_, sql);
  return statement.Integer(0);
}

std::string Connection::Text(std::string_view sql) const {
  Statement statement = Prepare(sql);
  if (!statement.Step()) Fail(ErrorCode::kCorruptInput, "{}: no answer to '{}'", label_, sql);
  return statement.Text(0);
}

std::int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(get()); }

void Connection::SetBusyTimeout(int milliseconds) {
  Check(sqlite3_busy_timeout(get(), milliseconds), "busy timeout");
}

void Connection::CopyFrom(const Connection& from) {
  sqlite3_backup* backup = sqlite3_backup_init(get(), "main", from.get(), "main");
  if (backup == nullptr) Check(sqlite3_errcode(get()), "cannot copy");
  // The backup does not retry when the source is busy. Readers never block in WAL mode, and another
  // file is locked only during one short commit.
  int code = SQLITE_OK;
  for (int attempt = 0; attempt < 300; ++attempt) {
    code = sqlite3_backup_step(backup, -1);
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) break;
    sqlite3_sleep(100);
  }
  sqlite3_backup_finish(backup);
  Check(code, "cannot read");
}

void Connection::LoadImage(std::string_view image) {
  const auto size = static_cast<sqlite3_int64>(image.size());
  auto* bytes = static_cast<unsigned char*>(sqlite3_malloc64(image.size()));
  if (bytes == nullptr) throw std::bad_alloc();
  std::memcpy(bytes, image.data(), image.size());
  // Bytes 18 and 19 say that the file uses WAL. An image in memory has no log, and SQLite would
  // refuse to open it.
  constexpr std::size_t kWriteVersion = 18;
  if (image.size() > kWriteVersion + 1) {
    bytes[kWriteVersion] = 1;
    bytes[kWriteVersion + 1] = 1;
  }
  Check(sqlite3_deserialize(get(),
                            "main",
                            bytes,
                            size,
                            size,
                            SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE),
        "cannot read");
}

void Statement::Finalize::operator()(sqlite3_stmt* handle) const noexcept {
  sqlite3_finalize(handle);
}

Statement::Statement(const Connection& connection, std::string_view sql)
    : connection_(&connection) {
  sqlite3_stmt* raw = nullptr;
  const int code =
      sqlite3_prepare_v2(connection.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  handle_.reset(raw);
  connection.Check(code, "cannot read");
}

Statement& Statement::Bind(std::int64_t value) {
  connection_->Check(sqlite3_bind_int64(handle_.get(), ++bound_, value), "bind");
  return *this;
}

Statement& Statement::Bind(double value) {
  connection_->Check(sqlite3_bind_double(handle_.get(), ++bound_, value), "bind");
  return *this;
}

Statement& Statement::Bind(std::string_view value) {
  connection_->Check(sqlite3_bind_text64(handle_.get(),
                                         ++bound_,
                                         value.data() == nullptr ? "" : value.data(),
                                         value.size(),
                                         SQLITE_TRANSIENT,
                                         SQLITE_UTF8),
                     "bind");
  return *this;
}

Statement& Statement::BindNull() {
  connection_->Check(sqlite3_bind_null(handle_.get(), ++bound_), "bind");
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(handle_.get());
  connection_->Check(code,
                     sqlite3_stmt_readonly(handle_.get()) != 0 ? "cannot read" : "cannot write");
  return code == SQLITE_ROW;
}

void Statement::Run() {
  while (Step()) {
  }
  Reset();
}

void Statement::Reset() {
  sqlite3_reset(handle_.get());
  bound_ = 0;
}

std::int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

int Statement::Int(int column) const {
  const std::int64_t value = Integer(column);
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: column {}: expected a 32-bit integer, found {}",
         connection_->label(),
         sqlite3_column_name(handle_.get(), column),
         value);
  }
  return static_cast<int>(value);
}

double Statement::Real(int column) const { return sqlite3_column_double(handle_.get(), column); }

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}

Transaction::Transaction(Connection& connection) : connection_(&connection) {
  connection.Run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // After some errors, such as a full disk, SQLite has rolled back already and ROLLBACK fails.
  if (open_) sqlite3_exec(connection_->get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::Commit() {
  connection_->Run("COMMIT");
  open_ = false;
}

}  // namespace dbsp::db
