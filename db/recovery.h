// SPDX-License-Identifier: Apache-2.0
// What a killed writer leaves beside a database: a rollback journal (-journal) or, from dbsp 0.1, a
// write-ahead log (-wal). SQLite applies either to whatever database has the name, also to a copy
// that was put back in its place. Inside db/ only. Reasons: docs/design/0021-database-files.md.
#pragma once

#include <cstdint>
#include <filesystem>

#include "db/sqlite.h"

namespace dbsp::db {

/// An empty database in memory. Messages call it `label`.
[[nodiscard]] Connection InMemory(const std::string& label);

/// SQLite would wait for ever for a FIFO with the name of a log or journal.
/// errors  Error{kCorruptInput} when log or journal are not regular files
void RequireRegularRemains(const std::filesystem::path& path);
/// Whether a file "PATH-wal" exists. SQLite would use it, and make further files to read it.
[[nodiscard]] bool HasLog(const std::filesystem::path& path);
/// Whether the first 100 bytes of a database say that its writers use a write-ahead log.
[[nodiscard]] bool UsesLog(const std::string& header);

/// Reads the database into `memory` as SQLite does after a crash: with its log, and with an
/// unfinished transaction rolled back. SQLite works on a private copy in the folder for temporary
/// files. The database and the files beside it are not changed. The content is checked with
/// CheckContent(kAllowed). Returns false when a writer changed the files meanwhile.
/// path     without symbolic links: SQLite looks for log and journal beside the real file
/// file     a read-only connection to `path`
/// errors   Error{kMismatch} when log or journal belong to another state of the database,
///          Error{kCorruptInput} when the content is damaged, Error{kIo} without room for a copy
[[nodiscard]] bool ReadRecovered(const std::filesystem::path& path,
                                 const Connection& file,
                                 Connection& memory);

/// Refuses to make a database beside a log or journal of one that is gone: SQLite would delete it.
/// errors  Error{kMismatch}
void RequireNoRemains(const std::filesystem::path& path);

}  // namespace dbsp::db
