// SPDX-License-Identifier: Apache-2.0
// Owners of SQLite handles, inside db/ only: connection, statement, transaction. They turn result
// codes into dbsp::Error that names the file. They do not depend on the schema.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace dbsp::db {

class Statement;

/// A copy is impossible while a journal waits to be rolled back, because a reader may not write.
enum class CopyResult : std::uint8_t { kDone, kHotJournal };

/// Longest text or blob that is read or stored.
inline constexpr int kMaxValueBytes = 256 << 20;

/// One open connection. A file may come from anywhere, so every connection runs without triggers,
/// views, extensions, ATTACH and memory maps, in SQLite's defensive mode and with an untrusted
/// schema.
/// threads  one thread at a time
class Connection {
 public:
  /// Opens with sqlite3_open_v2 `flags`; `label` names the file in errors.
  /// errors  as Check()
  Connection(const std::string& name, int flags, std::string label);

  /// Runs statements and ignores their rows. errors as Check()
  void Run(const std::string& sql);
  /// VACUUM, which attaches a temporary database; otherwise none can be attached. errors as Check()
  void Vacuum();
  [[nodiscard]] Statement Prepare(std::string_view sql) const;
  /// First column of the first row.
  /// errors  Error{kCorruptInput} when there is no row
  [[nodiscard]] std::int64_t Integer(std::string_view sql) const;
  [[nodiscard]] std::string Text(std::string_view sql) const;
  [[nodiscard]] std::int64_t last_insert_id() const;
  void SetBusyTimeout(int milliseconds);
  /// Copies every page of `from` into the database of this connection.
  [[nodiscard]] CopyResult CopyFrom(const Connection& from);
  /// At most `most` bytes from the beginning of the file, without a lock. They are read through
  /// SQLite's own handle: closing another handle of the file would drop the locks of this process.
  [[nodiscard]] std::string FileBytes(std::int64_t most) const;
  [[nodiscard]] std::int64_t FileSize() const;
  /// From now on an error that SQLite does not explain is a fault of dbsp and not of the file.
  void SetChecked() { checked_ = true; }

  /// Throws unless `code` is SQLITE_OK, ROW or DONE.
  /// errors  Error{kCorruptInput} for a file that is damaged or not a database, Error{kIo} for a
  ///         full disk, a lock, or a file that is read-only or unreadable, else Error{kInternal},
  ///         or Error{kCorruptInput} before SetChecked()
  void Check(int code, std::string_view action) const;
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] sqlite3* get() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const noexcept;
  };
  void Harden();
  std::string label_;
  std::unique_ptr<sqlite3, Close> handle_;
  bool checked_ = false;
};

/// A prepared statement. Bind() binds parameters in order; Step() or Run() executes it.
class Statement {
 public:
  Statement(const Connection& connection, std::string_view sql);

  Statement& Bind(std::int64_t value);
  Statement& Bind(int value) { return Bind(static_cast<std::int64_t>(value)); }
  Statement& Bind(double value);
  Statement& Bind(std::string_view value);
  Statement& Bind(const std::string& value) { return Bind(std::string_view(value)); }
  Statement& Bind(const char* value) { return Bind(std::string_view(value)); }
  template <typename T>
  Statement& Bind(const std::optional<T>& value) {
    return value ? Bind(*value) : BindNull();
  }
  Statement& BindNull();

  /// Moves to the next row. Returns false after the last one.
  [[nodiscard]] bool Step();
  /// Runs to the end, then Reset().
  void Run();
  /// Makes the statement ready to bind new values.
  void Reset();

  /// Columns of the current row, counted from 0.
  [[nodiscard]] std::int64_t Integer(int column) const;
  [[nodiscard]] int Int(int column) const;  ///< errors Error{kCorruptInput} when out of range
  [[nodiscard]] double Real(int column) const;
  [[nodiscard]] double Finite(int column) const;  ///< errors Error{kCorruptInput} otherwise
  /// errors  Error{kCorruptInput} when it is not UTF-8
  [[nodiscard]] std::string Text(int column) const;
  /// The value of an enumeration that `parse` makes of the text.
  /// errors  Error{kCorruptInput} when `parse` refuses it
  template <typename Parse>
  [[nodiscard]] auto Enum(int column, Parse parse) const {
    const std::string text = Text(column);
    try {
      return parse(text);
    } catch (const Error& error) {
      FailAt(column, error.what());
    }
  }
  [[nodiscard]] bool IsNull(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const noexcept;
  };
  [[noreturn]] void FailAt(int column, const std::string& problem) const;
  const Connection* connection_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  int bound_ = 0;
};

/// BEGIN IMMEDIATE. Leaving the scope without Commit() rolls back.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void Commit();

 private:
  Connection* connection_;
  bool open_ = true;
};

}  // namespace dbsp::db
