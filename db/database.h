// SPDX-License-Identifier: Apache-2.0
// The cost-model database: SQLite, STRICT tables, WAL, migrations by user_version.
// Schema: docs/formats/database.md. sqlite3.h is seen only in db/*.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/counter_record.h"
#include "core/records.h"
#include "core/status.h"
#include "db/open_mode.h"

namespace dbsp::db {

class Store;

/// A stored trial with the machine it was made on.
struct StoredTrial {
  std::int64_t id = 0;
  std::int64_t environment_id = 0;
  Trial trial;
};

struct StoredEnvironment {
  std::int64_t id = 0;
  std::string uid;  ///< random and unique: the same process in every file it was imported into
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

/// A fitted cost model: its form and numbers, what it holds for and how far off it was on trials
/// it had not seen.
struct Fit {
  std::string model;  ///< form, "log-linear"
  std::string target;  ///< what it predicts: "attention", "alltoall", "pack", ...
  std::string subject;  ///< what it holds for: kernel, transport and ranks
  std::string measurement_hash;  ///< MeasurementHash() it was fitted from
  std::int64_t trials = 0;
  double held_out_error = 0;  ///< median |predicted - measured| / measured, held out
  std::string created_utc;
  std::map<std::string, double> parameters;  ///< finite
};

/// What Import() added.
struct ImportCounts {
  std::int64_t environments = 0;
  std::int64_t trials = 0;
  std::int64_t plans = 0;
  std::int64_t replays = 0;
};

/// One connection. Writers use one transaction per call; a crash leaves whole trials only.
/// errors   Error{kNotFound} no such file, Error{kCorruptInput} not a dbsp database, damaged, or
///          written by a newer version, Error{kIo} disk full, read-only, locked for over the busy
///          timeout (30 s)
/// threads  one thread per Database; any number of processes on one file
class Database {
 public:
  /// kCreate makes the file with the newest schema when absent; kReadWrite and kCreate migrate an
  /// older one. kReadOnly reads one consistent snapshot into memory and lets go of the file: it
  /// writes nothing, makes no file beside it, works on read-only media, never blocks a writer, and
  /// shows nothing written later.
  /// units  busy_timeout_ms: how long to wait for another writer
  static Database Open(const std::filesystem::path& path,
                       OpenMode mode,
                       int busy_timeout_ms = 30'000);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  /// Stores one profiling or replay process; returns its environment id.
  std::int64_t AddEnvironment(const Provenance& provenance);
  [[nodiscard]] std::vector<StoredEnvironment> Environments() const;

  /// One transaction: the trial, all its samples and its counters.
  /// errors  Error{kInvalidArgument} for a sample or time that is not positive, an ok trial
  ///         without samples, or a counter that is not finite; nothing is stored then
  std::int64_t AddTrial(std::int64_t environment_id,
                        const Trial& trial,
                        const std::optional<CounterRecord>& counters = std::nullopt);
  /// Of the trials that have some, by trial id.
  [[nodiscard]] std::map<std::int64_t, CounterRecord> Counters() const;
  /// Whether a trial of the configuration KeyOf() == `key` was finished (outcome kOk) by `method`
  /// on the device (kind, name, UUID) and with the build commit of `machine`.
  [[nodiscard]] bool HasFinishedTrial(const std::string& key,
                                      const std::string& method,
                                      const Provenance& machine) const;
  /// Every trial, oldest first.
  [[nodiscard]] std::vector<StoredTrial> Trials() const;

  /// Stores what is known of a kernel under its name, over what was known of it before: the newest
  /// build's word counts. Trials may name kernels that were never stored so.
  /// errors  Error{kInvalidArgument} for an empty name or a list that is neither of the two
  void AddKernel(const KernelVariant& kernel);
  /// Every kernel that was stored or that a trial names, by name.
  [[nodiscard]] std::vector<KernelVariant> Kernels() const;

  /// Stores the text under HashBytes(plan_json); a plan stored before keeps its id.
  /// errors  Error{kInvalidArgument} when the text is no JSON
  std::int64_t AddPlan(const std::string& plan_json);
  [[nodiscard]] std::vector<StoredPlan> Plans() const;
  /// One transaction: the replay, its cells and their ledger. Errors that are not a number are
  /// stored as infinite.
  /// errors  Error{kInvalidArgument} for a negative time or a multiplicity below 1
  std::int64_t AddReplay(std::int64_t environment_id, const ReplayRecord& replay);
  [[nodiscard]] std::vector<StoredReplay> Replays() const;

  /// errors  Error{kInvalidArgument} when a number is not finite
  std::int64_t AddFit(const Fit& fit);
  [[nodiscard]] std::vector<Fit> Fits() const;  ///< oldest first

  /// Adds what `other` has and this file lacks, in one transaction: environments (by uid) with
  /// their trials and replays, plans (by hash), and what it knows of kernels that are mere names
  /// here. Importing twice adds nothing.
  ImportCounts Import(const Database& other);

  /// Hash over the measurements (trials and their environments), not over plans and replays, so
  /// that replaying a plan does not make it stale. The order of trials does not matter.
  [[nodiscard]] std::string MeasurementHash() const;
  /// user_version of the file.
  [[nodiscard]] int schema_version() const;
  /// The first problem that PRAGMA integrity_check or foreign_key_check finds.
  Status Integrity() const;

 private:
  explicit Database(std::unique_ptr<Store> store);
  std::unique_ptr<Store> store_;
};

}  // namespace dbsp::db
