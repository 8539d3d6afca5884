// SPDX-License-Identifier: Apache-2.0
#include "db/schema.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "db/migrations.h"
#include "db/migrations_v10.h"

namespace dbsp::db {
namespace {

constexpr std::array<const char*, 10> kMigrations{kTablesV1,
                                                  kViewsAndFitsV2,
                                                  kNeededBandwidthV3,
                                                  kKernelFactsV4,
                                                  kExchangeNodesV5,
                                                  kCountersV6,
                                                  kLogSumExpAndTunedV7,
                                                  kOverlapsV8,
                                                  kMultiplicityV9,
                                                  kNotMeasuredV10};

int VersionOf(const Connection& connection) {
  return static_cast<int>(connection.Integer("PRAGMA user_version"));
}

/// Name from a file, shortened for a message.
std::string Shown(const std::string& name) {
  constexpr std::size_t kLongest = 60;
  return fmt::format("{}{}", name.substr(0, kLongest), name.size() > kLongest ? "..." : "");
}

struct Object {
  std::string type;  ///< "table", "index", "view" or "trigger"
  std::string table;  ///< the table of an index or trigger
  std::string sql;  ///< "" for an index that a constraint makes
  bool operator==(const Object&) const = default;
};

/// Objects by name. Triggers have names of their own: whether it is one comes before the name.
using Objects = std::map<std::pair<bool, std::string>, Object>;

Objects ObjectsOf(const Connection& connection) {
  Objects found;
  Statement rows = connection.Prepare("SELECT name, type, tbl_name, sql FROM sqlite_schema");
  while (rows.Step()) {
    Object object{rows.Text(1), rows.Text(2), rows.Text(3)};
    const bool trigger = object.type == "trigger";
    found.emplace(std::pair(trigger, rows.Text(0)), std::move(object));
  }
  return found;
}

/// An empty database in memory with the schema of `version`.
Connection ReferenceOf(std::size_t version) {
  Connection reference(
      ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, "reference");
  for (std::size_t from = 0; from < version; ++from) reference.Run(kMigrations.at(from));
  return reference;
}

/// Declarations of the columns: name, then type, NOT NULL, default and place in the primary key.
std::vector<std::pair<std::string, std::string>> ColumnsOf(const Connection& connection,
                                                           const std::string& table) {
  std::vector<std::pair<std::string, std::string>> found;
  Statement rows = connection.Prepare(
      "SELECT name, type || iif(\"notnull\", ' NOT NULL', '') || ifnull(' DEFAULT ' || dflt_value, "
      "'') || iif(pk, ' PRIMARY KEY', '') FROM pragma_table_xinfo(?) ORDER BY cid");
  rows.Bind(table);
  while (rows.Step()) found.emplace_back(rows.Text(0), rows.Text(1));
  return found;
}

/// The first column that differs, or that something else about the table does.
std::string DifferenceOf(const Connection& connection,
                         const Connection& reference,
                         const std::string& table) {
  const auto expected = ColumnsOf(reference, table);
  const auto found = ColumnsOf(connection, table);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (i == found.size()) {
      return fmt::format("table {} has no column {}", table, expected[i].first);
    }
    if (found[i].first != expected[i].first) {
      return fmt::format("table {}: expected column {}, found {}",
                         table,
                         expected[i].first,
                         Shown(found[i].first));
    }
    if (found[i].second != expected[i].second) {
      return fmt::format("table {}, column {}: expected {}, found {}",
                         table,
                         expected[i].first,
                         expected[i].second,
                         Shown(found[i].second));
    }
  }
  if (found.size() > expected.size()) {
    return fmt::format(
        "table {} has another column {}", table, Shown(found[expected.size()].first));
  }
  return fmt::format("table {} has other constraints", table);
}

std::string WithArticle(const std::string& type) {
  return fmt::format("{} {}", type == "index" ? "an" : "a", Shown(type));
}

std::optional<std::string> Missing(const Objects& expected, const Objects& found) {
  for (const auto& [key, object] : expected) {
    const auto other = found.find(key);
    if (other == found.end()) return fmt::format("{} {} is missing", object.type, key.second);
    if (other->second.type == object.type) continue;
    return fmt::format("{} is {}, expected {}",
                       key.second,
                       WithArticle(other->second.type),
                       WithArticle(object.type));
  }
  return std::nullopt;
}

/// requires  nothing is missing
std::optional<std::string> Changed(const Connection& connection,
                                   const Connection& reference,
                                   const Objects& expected,
                                   const Objects& found) {
  for (const auto& [key, object] : expected) {
    if (found.at(key) == object) continue;
    if (object.type == "table") return DifferenceOf(connection, reference, key.second);
    return fmt::format("{} {} has another definition", object.type, key.second);
  }
  return std::nullopt;
}

std::optional<std::string> Added(const Objects& expected,
                                 const Objects& found,
                                 const Objects& newest) {
  for (const auto& [key, object] : found) {
    if (expected.contains(key)) continue;
    const std::string what = fmt::format("{} {}", Shown(object.type), Shown(key.second));
    if (object.type == "trigger") return what + " was added, and dbsp makes no triggers";
    if (newest.contains(key)) return what + " belongs to a later version";
    const bool on_ours = object.type == "index" && expected.contains({false, object.table});
    if (on_ours) return what + " was added to table " + object.table;
    if (object.sql.starts_with("CREATE VIRTUAL")) return what + " was added: a virtual table";
  }
  return std::nullopt;
}

[[noreturn]] void FailDamaged(const Connection& connection, const std::string& problem) {
  Fail(ErrorCode::kCorruptInput,
       "{}: damaged database: {}; restore it or measure into a new file",
       connection.label(),
       problem.substr(0, problem.find('\n')));
}

/// Checks pages, indices, types and constraints, then that every row that is referred to exists.
void CheckSound(const Connection& connection, const Objects& expected) {
  const std::string problem = connection.Text("PRAGMA integrity_check(1)");
  if (problem != "ok") FailDamaged(connection, problem);
  for (const auto& [key, object] : expected) {
    if (object.type != "table") continue;
    Statement rows = connection.Prepare("SELECT rowid, parent FROM pragma_foreign_key_check(?)");
    rows.Bind(key.second);
    if (!rows.Step()) continue;
    FailDamaged(connection,
                fmt::format("a row of {}{} refers to no row of {}",
                            key.second,
                            rows.IsNull(0) ? "" : fmt::format(" (rowid {})", rows.Integer(0)),
                            rows.Text(1)));
  }
}

/// Compares the schema with that of the version. Returns what was expected.
Objects RequireSchema(const Connection& connection, int version) {
  const Connection reference = ReferenceOf(static_cast<std::size_t>(version));
  Objects expected = ObjectsOf(reference);
  const Objects found = ObjectsOf(connection);
  auto problem = Missing(expected, found);
  if (!problem) problem = Changed(connection, reference, expected, found);
  if (!problem) {
    const bool newest = version == static_cast<int>(kMigrations.size());
    problem =
        Added(expected, found, newest ? expected : ObjectsOf(ReferenceOf(kMigrations.size())));
  }
  if (!problem) return expected;
  Fail(ErrorCode::kCorruptInput,
       "{}: differs from schema version {} of dbsp: {}; restore it or measure into a new file",
       connection.label(),
       version,
       *problem);
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
  if (version < 1 || version > NewestVersion()) {
    Fail(ErrorCode::kCorruptInput,
         "{}: schema version (user_version) expected 1 to {}, found {}: {}",
         connection.label(),
         NewestVersion(),
         version,
         version < 1 ? "no dbsp wrote it; restore it or measure into a new file"
                     : "a newer dbsp wrote the file; use that version");
  }
}

void CheckContent(Connection& connection, EmptyFile empty) {
  CheckIdentity(connection, empty);
  const int version = VersionOf(connection);
  if (version == 0) return;  // an empty file, which CheckIdentity allowed
  CheckSound(connection, RequireSchema(connection, version));
}

void Migrate(Connection& connection, int version) {
  if (VersionOf(connection) >= version) return;
  Transaction transaction(connection);
  // Another process may have migrated the file while this one waited for the lock.
  const int from = VersionOf(connection);
  if (from >= version) return;
  CheckIdentity(connection, EmptyFile::kAllowed);
  if (from > 0) (void)RequireSchema(connection, from);
  for (int step = from; step < version; ++step) connection.Run(kMigrations.at(step));
  connection.Run(fmt::format("PRAGMA user_version = {}", version));
  if (from == 0) connection.Run(fmt::format("PRAGMA application_id = {}", kApplicationId));
  transaction.Commit();
}

}  // namespace dbsp::db
