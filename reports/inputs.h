// SPDX-License-Identifier: Apache-2.0
// What a report is made from, read and checked in one place before anything is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "core/workload.h"
#include "db/database.h"

namespace dbsp::reports {

struct PlanInput {
  Plan plan;
  std::string name;  ///< file name, or "plan 3 of p.db"
  std::filesystem::path folder;  ///< Plan::workload_directory is seen from here
  /// Every hash a replay may have stored for this plan: of the canonical text and of the file.
  std::vector<std::string> hashes;
};

/// What dbsp-tune --compare --json printed ("dbsp.compare/1").
struct CompareInput {
  std::string name;
  std::string json;
};

struct ReportInputs {
  std::string database_name;
  int schema_version = 0;
  std::string measurement_hash;
  std::vector<db::StoredEnvironment> environments;
  std::vector<db::StoredTrial> trials;  ///< oldest first
  std::vector<db::StoredReplay> replays;  ///< oldest first
  std::int64_t stored_plans = 0;
  std::vector<PlanInput> plans;  ///< each gets its views
  std::vector<PlanInput> other_plans;  ///< of the database, used as baselines only
  std::vector<CompareInput> compares;
  std::optional<Workload> workload;  ///< where array files are, when the plans cannot tell
  std::string created_utc;
  std::vector<std::string> warnings;  ///< found while reading
};

struct ReportPaths {
  std::filesystem::path database;
  std::vector<std::filesystem::path> plans;
  std::vector<std::filesystem::path> compares;
  std::optional<std::filesystem::path> workload;
};

/// Reads everything. Without plan files the database's own plans are taken, newest first.
/// errors  Error{kNotFound, kCorruptInput, kIo} naming the file, Error{kMismatch} when the workload
///         file is not one of the plans' workloads
[[nodiscard]] ReportInputs ReadInputs(const ReportPaths& paths);

}  // namespace dbsp::reports
