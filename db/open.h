// SPDX-License-Identifier: Apache-2.0
// Opening the file in each mode, inside db/ only.
#pragma once

#include <filesystem>

#include "db/open_mode.h"
#include "db/sqlite.h"

namespace dbsp::db {

/// errors  Error{kInvalidArgument} for "", ":memory:" and URIs, Error{kCorruptInput} for a folder,
///         device or FIFO
void CheckDatabasePath(const std::filesystem::path& path);

/// A connection ready for use: checked, migrated, with foreign keys on. errors as Database::Open
[[nodiscard]] Connection OpenFile(const std::filesystem::path& path,
                                  OpenMode mode,
                                  int busy_timeout_ms);

}  // namespace dbsp::db
