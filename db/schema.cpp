// SPDX-License-Identifier: Apache-2.0
#include "db/schema.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/error.h"
#include "db/migrations.h"

namespace dbsp::db {
namespace {

constexpr std::array<const char*, 9> kMigrations{kTablesV1,
                                                 kViewsAndFitsV2,
                                                 kNeededBandwidthV3,
                                                 kKernelFactsV4,
                                                 kExchangeNodesV5,
                                                 kCountersV6,
                                                 kLogSumExpAndTunedV7,
                                                 kOverlapsV8,
                                                 kMultiplicityV9};

int VersionOf(const Connection& connection) {
  return static_cast<int>(connection.Integer("PRAGMA user_version"));
}

}  // namespace

std::span<const char* const> Migrations() { return kMigrations; }

int NewestVersion() { return static_cast<int>(kMigrations.size()); }

void CheckIdentity(Connection& connection, EmptyFile empty) {
  // One read transaction, because another process may make the schema between two separate reads. A
  // savepoint also works inside a write transaction.
  connection.Run("SAVEPOINT identity");
  const std::int64_t tables = connection.Integer("SELECT count(*) FROM sqlite_schema");
  const std::int64_t id = connection.Integer("PRAGMA application_id");
  const int version = VersionOf(connection);
  connection.Run("RELEASE identity");
  const bool fresh = id == 0 && version == 0 && tables == 0;
  if (fresh && empty == EmptyFile::kAllowed) return;
  if (id != kApplicationId) {
    Fail(ErrorCode::kCorruptInput,
         "{}: not a dbsp database: application_id expected {}, found {}; name another file",
         connection.label(),
         kApplicationId,
         id);
  }
  if (version > NewestVersion()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: schema version expected at most {}, found {}: a newer dbsp wrote the file; use that "
         "version",
         connection.label(),
         NewestVersion(),
         version);
  }
}

void Migrate(Connection& connection, int version) {
  while (VersionOf(connection) < version) {
    Transaction transaction(connection);
    // Another process may have migrated the file while this one waited for the lock.
    const int from = VersionOf(connection);
    if (from >= version) return;
    CheckIdentity(connection, EmptyFile::kAllowed);
    connection.Run(kMigrations.at(from));
    connection.Run(fmt::format("PRAGMA user_version = {}", from + 1));
    if (from == 0) connection.Run(fmt::format("PRAGMA application_id = {}", kApplicationId));
    transaction.Commit();
  }
}

}  // namespace dbsp::db
