// SPDX-License-Identifier: Apache-2.0
// Environments and devices.
#include <fmt/format.h>

#include <random>

#include "core/error.h"
#include "db/database.h"
#include "db/store.h"

namespace dbsp::db {
namespace {

std::string RandomUid() {
  std::random_device entropy;
  std::string uid;
  for (int word = 0; word < 4; ++word) uid += fmt::format("{:08x}", entropy());
  return uid;
}

std::int64_t DeviceId(Connection& connection, const Provenance& provenance) {
  connection
      .Prepare("INSERT INTO devices(kind, name, uuid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
      .Bind(provenance.device_kind)
      .Bind(provenance.device_name)
      .Bind(provenance.device_uuid)
      .Run();
  Statement find =
      connection.Prepare("SELECT id FROM devices WHERE kind = ? AND name = ? AND uuid = ?");
  find.Bind(provenance.device_kind).Bind(provenance.device_name).Bind(provenance.device_uuid);
  DBSP_CHECK(find.Step());
  return find.Integer(0);
}

void InsertDetails(Connection& connection, std::int64_t id, const Provenance& provenance) {
  Statement arg = connection.Prepare("INSERT INTO environment_args VALUES (?, ?, ?)");
  int position = 0;
  for (const std::string& value : provenance.argv) arg.Bind(id).Bind(position++).Bind(value).Run();
  Statement extra = connection.Prepare("INSERT INTO environment_extras VALUES (?, ?, ?)");
  for (const auto& [name, value] : provenance.extra) extra.Bind(id).Bind(name).Bind(value).Run();
}

}  // namespace

std::int64_t Store::InsertEnvironment(const Provenance& provenance, const std::string& uid) {
  const std::int64_t device = DeviceId(connection, provenance);
  std::optional<int> dirty;
  if (provenance.git_dirty) dirty = *provenance.git_dirty ? 1 : 0;
  connection
      .Prepare(
          "INSERT INTO environments(uid, device_id, host, cores, memory_bytes, compiler, "
          "build_type, git_commit, git_dirty, version, started_utc) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(uid)
      .Bind(device)
      .Bind(provenance.host)
      .Bind(provenance.cores)
      .Bind(provenance.memory_bytes)
      .Bind(provenance.compiler)
      .Bind(provenance.build_type)
      .Bind(provenance.git_commit)
      .Bind(dirty)
      .Bind(provenance.version)
      .Bind(provenance.started_utc)
      .Run();
  const std::int64_t id = connection.last_insert_id();
  InsertDetails(connection, id, provenance);
  return id;
}

std::int64_t Database::AddEnvironment(const Provenance& provenance) {
  Transaction transaction(store_->connection);
  const std::int64_t id = store_->InsertEnvironment(provenance, RandomUid());
  transaction.Commit();
  return id;
}

std::vector<StoredEnvironment> Database::Environments() const {
  const Connection& connection = store_->connection;
  std::vector<StoredEnvironment> found;
  Statement rows = connection.Prepare(
      "SELECT e.id, e.uid, d.kind, d.name, d.uuid, e.host, e.cores, e.memory_bytes, e.compiler, "
      "e.build_type, e.git_commit, e.git_dirty, e.version, e.started_utc "
      "FROM environments e JOIN devices d ON d.id = e.device_id ORDER BY e.id");
  while (rows.Step()) {
    StoredEnvironment stored;
    stored.id = rows.Integer(0);
    stored.uid = rows.Text(1);
    Provenance& p = stored.provenance;
    p.device_kind = rows.Text(2);
    p.device_name = rows.Text(3);
    p.device_uuid = rows.Text(4);
    p.host = rows.Text(5);
    p.cores = rows.Int(6);
    p.memory_bytes = rows.Integer(7);
    p.compiler = rows.Text(8);
    p.build_type = rows.Text(9);
    p.git_commit = rows.Text(10);
    if (!rows.IsNull(11)) p.git_dirty = rows.Int(11) != 0;
    p.version = rows.Text(12);
    if (p.cores < 0 || p.memory_bytes < 0) {
      Fail(
          ErrorCode::kCorruptInput,
          "{}: environment {}: {} cores, {} bytes of memory; restore it or measure into a new file",
          connection.label(),
          stored.id,
          p.cores,
          p.memory_bytes);
    }
    p.started_utc = rows.Text(13);
    Statement args = connection.Prepare(
        "SELECT value FROM environment_args WHERE environment_id = ? ORDER BY position");
    args.Bind(stored.id);
    while (args.Step()) p.argv.push_back(args.Text(0));
    Statement extras =
        connection.Prepare("SELECT name, value FROM environment_extras WHERE environment_id = ?");
    extras.Bind(stored.id);
    while (extras.Step()) p.extra.emplace(extras.Text(0), extras.Text(1));
    found.push_back(std::move(stored));
  }
  return found;
}

}  // namespace dbsp::db
