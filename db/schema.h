// SPDX-License-Identifier: Apache-2.0
// The schema as a list of migrations, inside db/ only. Migration i takes a file from user_version
// i to i + 1; a released migration is never edited, a change is a new one.
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

/// Brings the file to `version`, one transaction per migration; safe when several processes do so
/// at once. Sets application_id with the first.
/// errors  Error{kCorruptInput} when the file is another program's or newer than `version`
void Migrate(Connection& connection, int version);

/// Why the file cannot be used by this build, thrown as Error{kCorruptInput}: another program's, or
/// written by a newer dbsp. A fresh empty file passes when `empty_allowed`.
enum class EmptyFile : std::uint8_t { kAllowed, kRefused };
void CheckIdentity(Connection& connection, EmptyFile empty);

}  // namespace dbsp::db
