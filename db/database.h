// SPDX-License-Identifier: Apache-2.0
// The database of measurements, plans, replays and fitted models: SQLite with STRICT tables and
// migrations by user_version. Schema: docs/formats/database.md. Only db/*.cpp include
// sqlite3.h.
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

/// A stored trial and the environment it was measured in.
struct StoredTrial {
  std::int64_t id = 0;
  std::int64_t environment_id = 0;
  Trial trial;
};

struct StoredEnvironment {
  std::int64_t id = 0;
  std::string uid;  ///< random; identifies the process in every file it was imported into
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

/// Numbers of records that Import() added.
struct ImportCounts {
  std::int64_t environments = 0;
  std::int64_t trials = 0;
  std::int64_t plans = 0;
  std::int64_t replays = 0;
};

/// One connection. Every call that writes is one transaction, so a crash leaves whole trials only.
/// errors   Error{kNotFound} when the file is missing, Error{kCorruptInput} when it is damaged, not
///          a dbsp database, of a newer version, or has values that dbsp never stores,
///          Error{kMismatch} when a log or journal of another database is beside it, Error{kIo}
///          when the disk is full, the file is read-only, or another process holds the lock for
///          longer than the busy timeout (30 s)
/// threads  one thread per Database; any number of processes per file
class Database {
 public:
  /// kCreate makes the file with the newest schema when it is missing; kReadWrite and kCreate
  /// migrate an older file, after all of it was checked. kReadOnly reads one consistent snapshot
  /// into memory and closes the file. It writes nothing, makes no other file beside it, works on
  /// read-only media, delays a writer only while it copies, and does not show later changes.
  /// units  busy_timeout_ms: longest wait for another writer
  static Database Open(const std::filesystem::path& path,
                       OpenMode mode,
                       int busy_timeout_ms = 30'000);
  /// The part of Open() that needs no file, for tools that open the database late.
  /// errors  Error{kInvalidArgument} for "", ":memory:" and URIs, Error{kCorruptInput} for a
  ///         folder, device or FIFO
  static void CheckPath(const std::filesystem::path& path);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  /// Stores a profiling or replay process. Returns its environment id.
  std::int64_t AddEnvironment(const Provenance& provenance);
  [[nodiscard]] std::vector<StoredEnvironment> Environments() const;

  /// Stores the trial, its samples and its counters in one transaction. Returns the trial id.
  /// errors  Error{kInvalidArgument} for a sample that is not positive, an ok trial without
  /// samples,
  ///         or a counter that is not finite; nothing is stored then
  std::int64_t AddTrial(std::int64_t environment_id,
                        const Trial& trial,
                        const std::optional<CounterRecord>& counters = std::nullopt);
  /// Counters by trial id, of the trials that have counters.
  [[nodiscard]] std::map<std::int64_t, CounterRecord> Counters() const;
  /// Whether a trial of the configuration KeyOf() == `key` was finished (outcome kOk) by `method`
  /// on the device (kind, name, UUID) and with the build commit of `machine`.
  [[nodiscard]] bool HasFinishedTrial(const std::string& key,
                                      const std::string& method,
                                      const Provenance& machine) const;
  /// Every trial, oldest first.
  [[nodiscard]] std::vector<StoredTrial> Trials() const;

  /// Stores the facts of a kernel under its name and replaces earlier ones. Trials may name kernels
  /// that were never stored by AddKernel().
  /// errors  Error{kInvalidArgument} for an empty name, or a list other than "blocks" or "keys"
  void AddKernel(const KernelVariant& kernel);
  /// Every kernel that was stored or that a trial names, sorted by name.
  [[nodiscard]] std::vector<KernelVariant> Kernels() const;

  /// Stores the text under HashBytes(plan_json). Returns the id of an equal plan when there is one.
  /// errors  Error{kInvalidArgument} when the text is not JSON
  std::int64_t AddPlan(const std::string& plan_json);
  [[nodiscard]] std::vector<StoredPlan> Plans() const;
  /// Stores the replay, its cells and their segments in one transaction. An error that is NaN is
  /// stored as infinity.
  /// errors  Error{kInvalidArgument} for a negative time or a multiplicity below 1
  std::int64_t AddReplay(std::int64_t environment_id, const ReplayRecord& replay);
  [[nodiscard]] std::vector<StoredReplay> Replays() const;

  /// Adds the records of `other` that this file lacks, in one transaction: environments (by uid)
  /// with their trials and replays, plans (by hash), and facts of kernels of which this file has
  /// only the name. Importing the same file again adds nothing.
  ImportCounts Import(const Database& other);

  /// Makes the file as small as its records. Another process that holds the file delays it.
  void Vacuum();

  /// Hash of trials and their environments. Plans and replays are not part of it, so that replaying
  /// a plan does not make the plan stale. The order of trials does not matter.
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
