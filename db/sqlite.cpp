// SPDX-License-Identifier: Apache-2.0
#include "db/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/json.h"

namespace dbsp::db {
namespace {

struct Verdict {
  ErrorCode code;
  const char* advice;
};

Verdict VerdictOf(int code, bool checked) {
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
    case SQLITE_TOOBIG:
      return {ErrorCode::kCorruptInput, "no value of a dbsp database has more than 256 MiB"};
    default:
      if (!checked) return {ErrorCode::kCorruptInput, "restore it or measure into a new file"};
      return {ErrorCode::kInternal, "this is a fault of dbsp"};
  }
}

/// Number of leading bytes of `text` that are UTF-8 (RFC 3629: no surrogates, no overlong forms).
std::size_t ValidUtf8(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  std::size_t at = 0;
  while (at < text.size()) {
    const unsigned lead = byte(at);
    std::size_t more = 0;
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else if (lead >= 0x80) {
      return at;
    }
    for (std::size_t i = 1; i <= more; ++i) {
      if (byte(at + i) < low || byte(at + i) > high) return at;
      low = 0x80;
      high = 0xBF;
    }
    at += 1 + more;
  }
  return at;
}

/// json_valid(text) of the schema. SQLite 3.40 does not allow its own one in an untrusted schema.
void JsonValid(sqlite3_context* context, int /*count*/, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) == SQLITE_NULL) return;  // NULL, as SQLite's
  const unsigned char* text = sqlite3_value_text(values[0]);
  const int size = sqlite3_value_bytes(values[0]);
  try {
    sqlite3_result_int(context, text != nullptr && Json::accept(text, text + size) ? 1 : 0);
  } catch (...) {  // out of memory; SQLite is C
    sqlite3_result_error_nomem(context);
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
  Harden();
}

void Connection::Harden() {
  constexpr std::pair<int, int> kOptions[] = {{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                              {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                              {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                              {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                                              {SQLITE_DBCONFIG_DEFENSIVE, 1}};
  for (const auto& [option, value] : kOptions) {
    Check(sqlite3_db_config(get(), option, value, static_cast<int*>(nullptr)), "cannot open");
  }
  Check(sqlite3_create_function_v2(get(),
                                   "json_valid",
                                   1,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                                   nullptr,
                                   JsonValid,
                                   nullptr,
                                   nullptr,
                                   nullptr),
        "cannot open");
  sqlite3_limit(get(), SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  sqlite3_limit(get(), SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
  sqlite3_limit(get(), SQLITE_LIMIT_ATTACHED, 0);
  Check(sqlite3_exec(
            get(), "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0", nullptr, nullptr, nullptr),
        "cannot open");
}

void Connection::Check(int code, std::string_view action) const {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  if ((code & 0xFF) == SQLITE_NOMEM) throw std::bad_alloc();
  const Verdict verdict = VerdictOf(code, checked_);
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

void Connection::Vacuum() {
  // The copy is made through a second, empty database, whose tables SQLite does not let call
  // json_valid() in an untrusted schema. The tables were checked before (CheckContent).
  sqlite3_limit(get(), SQLITE_LIMIT_ATTACHED, 1);
  sqlite3_db_config(get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1, nullptr);
  const int code = sqlite3_exec(get(), "VACUUM", nullptr, nullptr, nullptr);
  sqlite3_db_config(get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_limit(get(), SQLITE_LIMIT_ATTACHED, 0);
  Check(code, "vacuum");
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

CopyResult Connection::CopyFrom(const Connection& from) {
  sqlite3_backup* backup = sqlite3_backup_init(get(), "main", from.get(), "main");
  if (backup == nullptr) Check(sqlite3_errcode(get()), "cannot copy");
  // The backup does not retry when the source is busy. A writer locks the file only during one
  // short commit.
  int code = SQLITE_OK;
  for (int attempt = 0; attempt < 300; ++attempt) {
    code = sqlite3_backup_step(backup, -1);
    if (code != SQLITE_BUSY && code != SQLITE_LOCKED) break;
    sqlite3_sleep(100);
  }
  sqlite3_backup_finish(backup);
  if (code == SQLITE_READONLY_ROLLBACK) return CopyResult::kHotJournal;
  Check(code, "cannot read");
  return CopyResult::kDone;
}

std::int64_t Connection::FileSize() const {
  sqlite3_file* file = nullptr;
  sqlite3_int64 size = 0;
  Check(sqlite3_file_control(get(), "main", SQLITE_FCNTL_FILE_POINTER, &file), "cannot read");
  Check(file->pMethods->xFileSize(file, &size), "cannot read");
  return size;
}

std::string Connection::FileBytes(std::int64_t most) const {
  constexpr std::int64_t kPiece = 1 << 24;
  sqlite3_file* file = nullptr;
  Check(sqlite3_file_control(get(), "main", SQLITE_FCNTL_FILE_POINTER, &file), "cannot read");
  std::string bytes(static_cast<std::size_t>(std::min(most, FileSize())), '\0');
  const auto size = static_cast<std::int64_t>(bytes.size());
  for (std::int64_t at = 0; at < size; at += kPiece) {
    const int piece = static_cast<int>(std::min(kPiece, size - at));
    Check(file->pMethods->xRead(file, bytes.data() + at, piece, at), "cannot read");
  }
  return bytes;
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
    FailAt(column, fmt::format("expected a 32-bit integer, found {}", value));
  }
  return static_cast<int>(value);
}

double Statement::Real(int column) const { return sqlite3_column_double(handle_.get(), column); }

double Statement::Finite(int column) const {
  const double value = Real(column);
  if (!std::isfinite(value))
    FailAt(column, fmt::format("expected a finite number, found {}", value));
  return value;
}

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  if (text == nullptr) {
    if (sqlite3_errcode(connection_->get()) == SQLITE_NOMEM) throw std::bad_alloc();
    return {};
  }
  std::string found(text, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column)));
  const std::size_t valid = ValidUtf8(found);
  if (valid < found.size()) {
    FailAt(column,
           fmt::format("expected UTF-8, found byte 0x{:02X} at position {}",
                       static_cast<unsigned char>(found[valid]),
                       valid));
  }
  return found;
}

void Statement::FailAt(int column, const std::string& problem) const {
  Fail(ErrorCode::kCorruptInput,
       "{}: column {}: {}; restore it or measure into a new file",
       connection_->label(),
       sqlite3_column_name(handle_.get(), column),
       problem);
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
