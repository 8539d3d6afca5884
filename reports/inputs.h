// SPDX-License-Identifier: Apache-2.0
// Inputs of a report. All of them are read and checked before anything is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/plan.h"
#include "core/records.h"
#include "db/database.h"

namespace dbsp::reports {

struct PlanInput {
  Plan plan;
  std::string name;  ///< file name, or "plan 3 of p.db"
  /// Hashes by which the database may refer to this plan: of the file, and of the canonical text
  /// where the database does not store the text of the file.
  std::vector<std::string> hashes;
  bool stored = false;  ///< in the database; `name` is then no file
  std::filesystem::path folder = {};  ///< that array files of the workload are relative to
};

/// Output of dbsp-tune --compare --json ("dbsp.compare/1").
struct CompareInput {
  std::string name;
  std::string json;
};

struct ReportInputs {
  std::string database_name;  ///< "" without a database
  int schema_version = 0;
  std::string measurement_hash;
  std::vector<db::StoredEnvironment> environments;
  std::vector<db::StoredTrial> trials;  ///< oldest first
  std::vector<db::StoredReplay> replays;  ///< oldest first
  std::int64_t stored_plans = 0;
  std::vector<std::string> stored_hashes = {};  ///< of all plans in the database
  std::vector<PlanInput> plans;  ///< plans that the page shows
  std::vector<PlanInput> other_plans;  ///< other plans of the database, used as baselines only
  std::vector<CompareInput> compares;
  std::string created_utc;
  std::vector<std::string> warnings;  ///< sentences on inputs that were read in part
};

/// At least one of the three is given.
struct ReportPaths {
  std::filesystem::path database;  ///< empty: no database
  std::vector<std::filesystem::path> plans;
  std::vector<std::filesystem::path> compares;  ///< compare documents and plans
};

/// Reads all inputs. Without plan files the plans come from the database: those that can be
/// compared (workload, ranks, costs) are together, the fastest first, and the group with the newest
/// plan is the first one.
/// errors  Error{kNotFound, kCorruptInput, kIo} with the file
[[nodiscard]] ReportInputs ReadInputs(const ReportPaths& paths);

}  // namespace dbsp::reports
