// SPDX-License-Identifier: Apache-2.0
#include "db/database.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/file.h"
#include "db/open.h"
#include "db/store.h"

namespace dbsp::db {
namespace {

/// Appends `text` after its length, so that different lists of texts give different bytes.
void Append(std::string& out, const std::string& text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

std::string Canonical(const StoredEnvironment& stored) {
  const Provenance& p = stored.provenance;
  std::string out;
  for (const std::string& text : {stored.uid,
                                  p.device_kind,
                                  p.device_name,
                                  p.device_uuid,
                                  p.host,
                                  std::to_string(p.cores),
                                  std::to_string(p.memory_bytes),
                                  p.compiler,
                                  p.build_type,
                                  p.git_commit,
                                  p.git_dirty ? std::to_string(int{*p.git_dirty}) : "-1",
                                  p.version,
                                  p.started_utc}) {
    Append(out, text);
  }
  for (const std::string& arg : p.argv) Append(out, arg);
  for (const auto& [name, value] : p.extra) {
    Append(out, name);
    Append(out, value);
  }
  return out;
}

std::string Canonical(const Trial& trial) {
  std::string out;
  for (const std::string& text : {KeyOf(trial.config),
                                  trial.suite,
                                  std::string(NameOf(trial.outcome)),
                                  trial.detail,
                                  trial.method,
                                  trial.stop_reason,
                                  std::to_string(trial.warmups),
                                  std::to_string(trial.discarded),
                                  trial.started_utc}) {
    Append(out, text);
  }
  for (const std::int64_t ns : trial.samples_ns) Append(out, std::to_string(ns));
  for (const std::int64_t ns : trial.alone_ns) Append(out, "alone " + std::to_string(ns));
  return out;
}

template <typename Stored>
std::map<std::int64_t, std::vector<const Stored*>> ByEnvironment(const std::vector<Stored>& all) {
  std::map<std::int64_t, std::vector<const Stored*>> grouped;
  for (const Stored& stored : all) grouped[stored.environment_id].push_back(&stored);
  return grouped;
}

/// Kernels of `theirs` that `ours` lacks or has only by name.
std::vector<KernelVariant> KernelsToAdd(const std::vector<KernelVariant>& ours,
                                        std::vector<KernelVariant> theirs) {
  std::map<std::string, const KernelVariant*> known;
  for (const KernelVariant& kernel : ours) known.emplace(kernel.name, &kernel);
  std::erase_if(theirs, [&](const KernelVariant& kernel) {
    const auto found = known.find(kernel.name);
    return found != known.end() && *found->second != KernelVariant{.name = kernel.name};
  });
  return theirs;
}

}  // namespace

Database::Database(std::unique_ptr<Store> store) : store_(std::move(store)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Database Database::Open(const std::filesystem::path& path, OpenMode mode, int busy_timeout_ms) {
  return Database(std::make_unique<Store>(OpenFile(path, mode, busy_timeout_ms)));
}

void Database::CheckPath(const std::filesystem::path& path) { CheckDatabasePath(path); }

ImportCounts Database::Import(const Database& other) {
  ImportCounts added;
  Connection& connection = store_->connection;
  const std::vector<StoredEnvironment> environments = other.Environments();
  const std::vector<StoredTrial> trials = other.Trials();
  const std::vector<StoredReplay> replays = other.Replays();
  const auto counters = other.Counters();
  auto trials_of = ByEnvironment(trials);
  auto replays_of = ByEnvironment(replays);
  Transaction transaction(connection);
  const auto count = [&](const char* sql, std::int64_t id) {
    Statement statement = connection.Prepare(sql);
    statement.Bind(id);
    DBSP_CHECK(statement.Step());
    return static_cast<std::size_t>(statement.Integer(0));
  };
  for (const StoredEnvironment& theirs : environments) {
    Statement find = connection.Prepare("SELECT id FROM environments WHERE uid = ?");
    find.Bind(theirs.uid);
    std::int64_t id = 0;
    if (find.Step()) {
      id = find.Integer(0);
    } else {
      id = store_->InsertEnvironment(theirs.provenance, theirs.uid);
      ++added.environments;
    }
    // One process writes the records of an environment in order. The records in one of the two
    // files are therefore the first ones of the other file.
    const auto& their_trials = trials_of[theirs.id];
    for (std::size_t i = count("SELECT count(*) FROM trials WHERE environment_id = ?", id);
         i < their_trials.size();
         ++i) {
      const std::int64_t trial = store_->InsertTrial(id, their_trials[i]->trial);
      const auto counted = counters.find(their_trials[i]->id);
      if (counted != counters.end()) store_->InsertCounters(trial, counted->second);
      ++added.trials;
    }
    const auto& their_replays = replays_of[theirs.id];
    for (std::size_t i = count("SELECT count(*) FROM replays WHERE environment_id = ?", id);
         i < their_replays.size();
         ++i) {
      store_->InsertReplay(id, their_replays[i]->replay);
      ++added.replays;
    }
  }
  for (const KernelVariant& kernel : KernelsToAdd(Kernels(), other.Kernels())) {
    store_->UpsertKernel(kernel);
  }
  const std::int64_t before = connection.Integer("SELECT count(*) FROM plans");
  for (const StoredPlan& plan : other.Plans()) store_->InsertPlan(plan.json, plan.stored_utc);
  added.plans = connection.Integer("SELECT count(*) FROM plans") - before;
  transaction.Commit();
  return added;
}

void Database::Vacuum() { store_->connection.Vacuum(); }

std::string Database::MeasurementHash() const {
  std::map<std::int64_t, std::string> environments;
  for (const StoredEnvironment& stored : Environments()) {
    environments.emplace(stored.id, HashBytes(Canonical(stored)));
  }
  std::vector<std::string> hashes;
  for (const StoredTrial& stored : Trials()) {
    hashes.push_back(HashBytes(environments.at(stored.environment_id) + Canonical(stored.trial)));
  }
  std::sort(hashes.begin(), hashes.end());
  std::string all;
  for (const std::string& hash : hashes) all += hash;
  return HashBytes(all);
}

int Database::schema_version() const {
  return static_cast<int>(store_->connection.Integer("PRAGMA user_version"));
}

Status Database::Integrity() const {
  const std::string problem = store_->connection.Text("PRAGMA integrity_check(1)");
  if (problem != "ok") return Status(problem);
  Statement foreign = store_->connection.Prepare("PRAGMA foreign_key_check");
  if (!foreign.Step()) return {};
  return Status("a row of " + foreign.Text(0) + " refers to no row of " + foreign.Text(2));
}

}  // namespace dbsp::db
