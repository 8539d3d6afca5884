// SPDX-License-Identifier: Apache-2.0
// The connection behind a Database, and the inserts that Database's functions share. Inside db/
// only.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/counter_record.h"
#include "core/records.h"
#include "db/sqlite.h"

namespace dbsp::db {

/// The functions insert rows and leave the transaction to the caller.
class Store {
 public:
  explicit Store(Connection opened) : connection(std::move(opened)) {}
  Connection connection;

  std::int64_t InsertEnvironment(const Provenance& provenance, const std::string& uid);
  std::int64_t InsertTrial(std::int64_t environment_id, const Trial& trial);
  void InsertCounters(std::int64_t trial_id, const CounterRecord& counters);
  void UpsertKernel(const KernelVariant& kernel);
  std::int64_t InsertPlan(const std::string& json, const std::string& stored_utc);
  std::int64_t InsertReplay(std::int64_t environment_id, const ReplayRecord& replay);
};

}  // namespace dbsp::db
