// SPDX-License-Identifier: Apache-2.0
#include "reports/inputs.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "core/baseline.h"
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
  input.folder = BaseFolderOf(path);
  const std::string bytes = ReadFile(path, kMaxTextBytes);
  if (path.extension() == ".zst") AddHash(input, HashBytes(ZstdDecompress(bytes, path.string())));
  AddHash(input, HashBytes(bytes));
  return input;
}

/// Adds the hash of the canonical text where the database does not store the text of the file,
/// which may be indented. Writing a text again takes as long as reading the plan.
void CompleteHashes(const ReportInputs& inputs, PlanInput& input) {
  const auto stored = std::ranges::find_first_of(inputs.stored_hashes, input.hashes);
  if (stored == inputs.stored_hashes.end()) {
    AddHash(input, HashBytes(PlanToJson(input.plan)));
  }
}

PlanInput ReadStoredPlan(const db::StoredPlan& stored, const std::filesystem::path& database) {
  PlanInput input;
  input.name = fmt::format("plan {} of {}", stored.id, database.filename().string());
  input.stored = true;
  input.folder = BaseFolderOf(database);
  input.plan = PlanFromJson(stored.json, fmt::format("{}: plan {}", database.string(), stored.id));
  AddHash(input, stored.hash);
  AddHash(input, HashBytes(stored.json));
  AddHash(input, HashBytes(PlanToJson(input.plan)));
  return input;
}

/// Whether a JSON text says that it is a plan. A name cannot: its quotation marks are escaped.
bool IsPlanText(std::string_view text) {
  constexpr std::string_view kKey = "\"schema\"";
  constexpr std::string_view kBlank = " \t\r\n";
  for (std::size_t at = 0; (at = text.find(kKey, at)) != std::string_view::npos;) {
    at += kKey.size();
    at = text.find_first_not_of(kBlank, at);
    if (at == std::string_view::npos) return false;
    if (text[at] != ':') continue;
    at = text.find_first_not_of(kBlank, at + 1);
    if (at == std::string_view::npos) return false;
    if (text.substr(at).starts_with("\"dbsp.plan/")) return true;
  }
  return false;
}

bool SamePlan(const PlanInput& a, const PlanInput& b) {
  return std::find_first_of(a.hashes.begin(), a.hashes.end(), b.hashes.begin(), b.hashes.end()) !=
         a.hashes.end();
}

bool Comparable(const PlanInput& a, const PlanInput& b) {
  return a.plan.workload_hash == b.plan.workload_hash && a.plan.ranks == b.plan.ranks &&
         CostsOf(a.plan) == CostsOf(b.plan);
}

/// Orders plans, which are the newest first, as ReadInputs() says.
std::vector<PlanInput> BestFirst(std::vector<PlanInput> plans) {
  std::vector<PlanInput> ordered;
  while (!plans.empty()) {
    const PlanInput newest = plans.front();
    const auto rest = std::stable_partition(plans.begin(), plans.end(), [&](const PlanInput& plan) {
      return Comparable(plan, newest);
    });
    std::stable_sort(plans.begin(), rest, [](const PlanInput& a, const PlanInput& b) {
      return a.plan.total_ms() < b.plan.total_ms();
    });
    ordered.insert(
        ordered.end(), std::make_move_iterator(plans.begin()), std::make_move_iterator(rest));
    plans.erase(plans.begin(), rest);
  }
  return ordered;
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
  for (const db::StoredPlan& plan : stored) inputs.stored_hashes.push_back(plan.hash);
  for (PlanInput& plan : inputs.plans) CompleteHashes(inputs, plan);
  std::reverse(stored.begin(), stored.end());
  if (stored.size() > kMaxStoredPlans) {
    inputs.warnings.push_back(
        fmt::format("the database has {} plans, of which the newest {} were read",
                    stored.size(),
                    kMaxStoredPlans));
    stored.resize(kMaxStoredPlans);
  }
  std::vector<PlanInput> others;
  for (const db::StoredPlan& plan : stored) {
    PlanInput input = ReadStoredPlan(plan, path);
    const auto same = [&](const PlanInput& other) { return SamePlan(other, input); };
    if (std::ranges::any_of(inputs.plans, same) || std::ranges::any_of(others, same)) continue;
    others.push_back(std::move(input));
  }
  others = BestFirst(std::move(others));
  const std::size_t shown = plans_given ? 0 : std::min(others.size(), kMaxShownStoredPlans);
  if (!plans_given && shown < others.size()) {
    inputs.warnings.push_back(
        fmt::format("the page shows {} of {} plans of the database; give others with --plan",
                    shown,
                    others.size()));
  }
  const auto first = std::make_move_iterator(others.begin());
  inputs.plans.insert(inputs.plans.end(), first, first + static_cast<std::ptrdiff_t>(shown));
  inputs.other_plans.assign(first + static_cast<std::ptrdiff_t>(shown),
                            std::make_move_iterator(others.end()));
}

/// A plan to compare with, after the others.
void AddPlanFile(const std::filesystem::path& path, ReportInputs& inputs) {
  PlanInput input = ReadPlanFile(path);
  if (!inputs.database_name.empty()) CompleteHashes(inputs, input);
  inputs.plans.push_back(std::move(input));
}

}  // namespace

ReportInputs ReadInputs(const ReportPaths& paths) {
  ReportInputs inputs;
  inputs.created_utc = NowUtc();
  for (const auto& path : paths.plans) inputs.plans.push_back(ReadPlanFile(path));
  if (!paths.database.empty()) ReadDatabase(paths.database, !paths.plans.empty(), inputs);
  for (const auto& path : paths.compares) {
    if (path.extension() == ".zst") {  // of these files, only plans may be compressed
      AddPlanFile(path, inputs);
      continue;
    }
    std::string text = ReadFile(path, kMaxTextBytes);
    if (IsPlanText(text)) {
      AddPlanFile(path, inputs);
    } else {
      inputs.compares.push_back({path.filename().string(), std::move(text)});
    }
  }
  return inputs;
}

}  // namespace dbsp::reports
