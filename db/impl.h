// SPDX-License-Identifier: Apache-2.0
// What a Database holds, shared by the files that implement it.
#pragma once

#include <cstdint>

#include "db/database.h"
#include "db/sqlite.h"

namespace dbsp::db {

class Database::Impl {
 public:
  explicit Impl(Connection opened) : connection(std::move(opened)) {}
  Connection connection;

  /// The rows alone: the caller holds the transaction.
  std::int64_t InsertEnvironment(const Provenance& provenance, const std::string& uid);
  std::int64_t InsertTrial(std::int64_t environment_id, const Trial& trial);
  void InsertCounters(std::int64_t trial_id, const CounterRecord& counters);
  void UpsertKernel(const KernelVariant& kernel);
  std::int64_t InsertPlan(const std::string& json, const std::string& stored_utc);
  std::int64_t InsertReplay(std::int64_t environment_id, const ReplayRecord& replay);
};

}  // namespace dbsp::db
