// SPDX-License-Identifier: Apache-2.0
// The cost-model database: SQLite, STRICT tables, WAL, migrations by user_version.
// Schema: docs/formats/database.md. sqlite3.h is seen only in db/*.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/records.h"

namespace dbsp::db {

enum class OpenMode : std::uint8_t { kReadOnly, kReadWrite, kCreate };

/// A stored trial with the machine it was made on.
struct StoredTrial {
  std::int64_t id = 0;
  std::int64_t environment_id = 0;
  Trial trial;
};

struct StoredEnvironment {
  std::int64_t id = 0;
  Provenance provenance;
};

struct StoredPlan {
  std::int64_t id = 0;
  std::string hash;
  std::string json;
  std::string stored_utc;
};

struct StoredReplay {
  std::int64_t id = 0;
  std::int64_t environment_id = 0;
  ReplayRecord replay;
};

/// One connection. Writers use one transaction per call; a crash leaves whole trials only.
/// errors   Error{kNotFound} no such file, Error{kCorruptInput} not a dbsp database, damaged, or
///          written by a newer version, Error{kIo} disk full, read-only, locked for over 30 s
/// threads  one thread per Database; any number of processes on one file
class Database {
 public:
  /// kCreate makes the file with the newest schema when absent; kReadWrite and kCreate migrate an
  /// older one; kReadOnly never writes (also works on read-only media).
  static Database Open(const std::filesystem::path& path, OpenMode mode);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  /// Stores one profiling or replay process; returns its environment id.
  std::int64_t AddEnvironment(const Provenance& provenance);
  [[nodiscard]] std::vector<StoredEnvironment> Environments() const;

  /// One transaction: the trial and all its samples. Non-positive samples are refused.
  std::int64_t AddTrial(std::int64_t environment_id, const Trial& trial);
  /// A finished (outcome kOk) trial of this configuration on this device (kind, name, uuid) made
  /// by the same build commit or any when `commit` is empty.
  [[nodiscard]] std::optional<std::int64_t> FindTrial(const std::string& key,
                                                      const Provenance& device,
                                                      const std::string& commit) const;
  /// Every trial, oldest first.
  [[nodiscard]] std::vector<StoredTrial> Trials() const;

  std::int64_t AddPlan(const std::string& plan_json);
  [[nodiscard]] std::vector<StoredPlan> Plans() const;
  std::int64_t AddReplay(std::int64_t environment_id, const ReplayRecord& replay);
  [[nodiscard]] std::vector<StoredReplay> Replays() const;

  /// Hash over the measurements (trials and their environments), not over plans and replays, so
  /// that replaying a plan does not make it stale.
  [[nodiscard]] std::string MeasurementHash() const;
  /// user_version of the file.
  [[nodiscard]] int schema_version() const;
  /// PRAGMA integrity_check; "" when the file is sound, else the first problem.
  [[nodiscard]] std::string IntegrityProblem() const;

 private:
  class Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbsp::db
