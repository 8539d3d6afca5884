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

/// Migrates the file to `version` in one transaction. Several processes may do so at the same time.
/// The first migration sets application_id.
/// errors  Error{kCorruptInput} when the file belongs to another program, is newer than `version`,
///         or differs from the schema of its version
void Migrate(Connection& connection, int version);

enum class EmptyFile : std::uint8_t { kAllowed, kRefused };
/// Checks that this build can use the file. A new, empty file passes only with kAllowed.
/// errors  Error{kCorruptInput} when the file belongs to another program or has no schema version
///         of this dbsp
void CheckIdentity(Connection& connection, EmptyFile empty);

/// Checks what can be checked without knowing what the records mean: identity, schema, pages,
/// types, constraints and references. An empty file passes with kAllowed. Tables, columns, indices
/// and views are those that the migrations make for the user_version of the file. Other tables and
/// views are ignored, because dbsp never reads them. Other triggers, virtual tables, indices of
/// dbsp's tables, and names of later versions are not ignored.
/// errors  Error{kCorruptInput} naming the first problem
void CheckContent(Connection& connection, EmptyFile empty);

}  // namespace dbsp::db
