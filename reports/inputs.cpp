// SPDX-License-Identifier: Apache-2.0
#include "reports/inputs.h"

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/plan_note.h"

namespace dbsp::reports {
namespace {

constexpr std::size_t kMaxShownStoredPlans = 8;
constexpr std::size_t kMaxStoredPlans = 32;

void AddHash(PlanInput& input, std::string hash) {
  if (std::find(input.hashes.begin(), input.hashes.end(), hash) == input.hashes.end()) {
    input.hashes.push_back(std::move(hash));
  }
}

PlanInput ReadPlanFile(const std::filesystem::path& path) {
  PlanInput input;
  input.plan = ReadPlan(path);
  NoteUnhashedPlan(input.plan, path.string());
  input.name = path.filename().string();
  AddHash(input, HashBytes(PlanToJson(input.plan)));
  const std::string bytes = ReadFile(path, kMaxTextBytes);
  AddHash(input, HashBytes(bytes));
  if (path.extension() == ".zst") AddHash(input, HashBytes(ZstdDecompress(bytes, path.string())));
  return input;
}

PlanInput ReadStoredPlan(const db::StoredPlan& stored, const std::filesystem::path& database) {
  PlanInput input;
  input.name = fmt::format("plan {} of {}", stored.id, database.filename().string());
  input.plan = PlanFromJson(stored.json, fmt::format("{}: plan {}", database.string(), stored.id));
  AddHash(input, stored.hash);
  AddHash(input, HashBytes(stored.json));
  AddHash(input, HashBytes(PlanToJson(input.plan)));
  return input;
}

bool SamePlan(const PlanInput& a, const PlanInput& b) {
  return std::find_first_of(a.hashes.begin(), a.hashes.end(), b.hashes.begin(), b.hashes.end()) !=
         a.hashes.end();
}

void ReadDatabase(const std::filesystem::path& path, bool plans_given, ReportInputs& inputs) {
  const db::Database database = db::Database::Open(path, db::OpenMode::kReadOnly);
  inputs.database_name = path.filename().string();
  inputs.schema_version = database.schema_version();
  inputs.measurement_hash = database.MeasurementHash();
  inputs.environments = database.Environments();
  inputs.trials = database.Trials();
  inputs.replays = database.Replays();
  std::vector<db::StoredPlan> stored = database.Plans();
  inputs.stored_plans = static_cast<std::int64_t>(stored.size());
  std::reverse(stored.begin(), stored.end());
  if (stored.size() > kMaxStoredPlans) {
    inputs.warnings.push_back(
        fmt::format("the database has {} plans, of which the newest {} were read",
                    stored.size(),
                    kMaxStoredPlans));
    stored.resize(kMaxStoredPlans);
  }
  for (const db::StoredPlan& plan : stored) {
    PlanInput input = ReadStoredPlan(plan, path);
    const bool shown = std::any_of(inputs.plans.begin(),
                                   inputs.plans.end(),
                                   [&](const auto& other) { return SamePlan(other, input); });
    if (shown) continue;
    const bool show = !plans_given && inputs.plans.size() < kMaxShownStoredPlans;
    (show ? inputs.plans : inputs.other_plans).push_back(std::move(input));
  }
}

}  // namespace

ReportInputs ReadInputs(const ReportPaths& paths) {
  ReportInputs inputs;
  inputs.created_utc = NowUtc();
  for (const auto& path : paths.plans) inputs.plans.push_back(ReadPlanFile(path));
  ReadDatabase(paths.database, !paths.plans.empty(), inputs);
  for (const auto& path : paths.compares) {
    inputs.compares.push_back({path.filename().string(), ReadFile(path, kMaxTextBytes)});
  }
  return inputs;
}

}  // namespace dbsp::reports
