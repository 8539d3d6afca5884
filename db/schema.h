// SPDX-License-Identifier: Apache-2.0
// The schema as a list of migrations, inside db/ only. Migration i takes a file from user_version i
// to i + 1. A released migration is never edited; a change is a new migration.
#pragma once

#include <cstdint>
#include <span>

#include "db/sqlite.h"

namespace dbsp::db {

/// application_id of every dbsp database: "dbsp" in ASCII.
inline constexpr std::int64_t kApplicationId = 0x64627370;

/// SQL scripts, oldest first.
[[nodiscard]] std::span<const char* const> Migrations();
/// user_version of a file made by this build.
[[nodiscard]] int NewestVersion();

/// Migrates the file to `version`, one transaction per migration. Several processes may do so at
/// the same time. The first migration sets application_id. errors  Error{kCorruptInput} when the
/// file belongs to another program or is newer than `version`
void Migrate(Connection& connection, int version);

enum class EmptyFile : std::uint8_t { kAllowed, kRefused };
/// Checks that this build can use the file. A new, empty file passes only with kAllowed.
/// errors  Error{kCorruptInput} when the file belongs to another program or a newer dbsp wrote it
void CheckIdentity(Connection& connection, EmptyFile empty);

}  // namespace dbsp::db
