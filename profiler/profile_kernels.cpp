// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_kernels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "core/cli.h"
#include "core/json.h"
#include "core/statistics.h"
#include "core/stop_signals.h"
#include "core/terminal_text.h"
#include "profiler/gpu/device_measure.h"
#include "profiler/suites/suite.h"
#include "profiler/trial_worker.h"
#include "runtime/clock.h"

namespace dbsp::profiler {
namespace {

struct ShapeResult {
  const TuneShape* shape = nullptr;
  std::string status = "left out";  ///< or "chosen", "reused", "to tune"
  std::string kernel = {};
  std::string detail = {};
  std::optional<KernelChoice> choice = {};
};

std::string ShapeKey(AttentionConfig config) {
  config.kernel.clear();
  return KeyOf(config);
}

/// Trials of earlier runs with this device and build.
struct Earlier {
  std::map<std::string, Trial> trials;  ///< by configuration, without those of finals
  std::map<std::string, Trial> chosen;  ///< by shape
};

Earlier EarlierRuns(const db::Database& database, const Provenance& machine) {
  std::set<std::int64_t> here;
  for (const db::StoredEnvironment& stored : database.Environments()) {
    const Provenance& p = stored.provenance;
    if (p.device_kind == machine.device_kind && p.device_name == machine.device_name &&
        p.device_uuid == machine.device_uuid && p.git_commit == machine.git_commit) {
      here.insert(stored.id);
    }
  }
  Earlier earlier;
  for (db::StoredTrial& stored : database.Trials()) {
    Trial& trial = stored.trial;
    const auto* config = std::get_if<AttentionConfig>(&trial.config);
    if (config == nullptr || trial.outcome != TrialOutcome::kOk) continue;
    if (!here.contains(stored.environment_id)) continue;
    if (!trial.method.ends_with(kFinalSuffix)) {
      earlier.trials.insert_or_assign(KeyOf(trial.config), std::move(trial));
    } else if (trial.detail.starts_with(kChosen)) {
      earlier.chosen.insert_or_assign(ShapeKey(*config), std::move(trial));
    }
  }
  return earlier;
}

std::string KernelOf(const Trial& trial) { return std::get<AttentionConfig>(trial.config).kernel; }

/// "test.crash failed: its process was killed ..." for every candidate that failed.
std::vector<std::string> Failures(const KernelChoice& choice) {
  std::vector<std::string> failures;
  for (const Trial& trial : choice.trials) {
    if (trial.outcome == TrialOutcome::kOk) continue;
    failures.push_back(
        fmt::format("{} {}: {}", KernelOf(trial), NameOf(trial.outcome), trial.detail));
  }
  return failures;
}

std::string Row(const ShapeResult& result) {
  std::string row =
      fmt::format("{:>12}  {}: {}\n",
                  result.status,
                  Describe(result.shape->config),
                  TerminalLine(result.detail.empty()
                                   ? fmt::format("{}", fmt::join(result.shape->candidates, ", "))
                                   : result.kernel + ", " + result.detail));
  if (result.choice) {
    for (const std::string& failure : Failures(*result.choice))
      row += "              " + TerminalLine(failure) + "\n";
  }
  return row;
}

Json ToJson(const ShapeResult& result) {
  Json excluded = Json::array();
  for (const auto& [kernel, why] : result.shape->excluded) {
    excluded.push_back({{"kernel", kernel}, {"why", why}});
  }
  Json json{{"what", Describe(result.shape->config)},
            {"status", result.status},
            {"default", result.shape->config.kernel},
            {"candidates", result.shape->candidates},
            {"excluded", std::move(excluded)}};
  if (!result.kernel.empty()) json["kernel"] = result.kernel;
  if (!result.detail.empty()) json["detail"] = result.detail;
  if (!result.choice) return json;
  json["verdict"] = NameOf(result.choice->verdict);
  json["gain"] = result.choice->gain;
  json["noise"] = result.choice->noise;
  Json trials = Json::array();
  for (const Trial& trial : result.choice->trials) {
    Json entry{{"kernel", KernelOf(trial)},
               {"outcome", NameOf(trial.outcome)},
               {"method", trial.method},
               {"detail", trial.detail},
               {"samples", trial.samples_ns.size()}};
    if (!trial.samples_ns.empty()) {
      entry["median_ns"] = Median(trial.samples_ns);
    }
    trials.push_back(std::move(entry));
  }
  json["trials"] = std::move(trials);
  return json;
}

void Print(const KernelTuning& tuning,
           const Provenance& machine,
           const std::vector<ShapeResult>& results) {
  if (!tuning.json) {
    std::string text;
    for (const ShapeResult& result : results) text += Row(result);
    WriteStdout(text + fmt::format("{} shapes that several kernels take\n", results.size()));
    return;
  }
  Json shapes = Json::array();
  for (const ShapeResult& result : results) shapes.push_back(ToJson(result));
  WriteStdout(DumpJson({{"schema", "dbsp.kernel_choices/1"},
                        {"database", tuning.database},
                        {"device", machine.device_name},
                        {"commit", BuildCommit()},
                        {"interrupted", Interrupted()},
                        {"shapes", std::move(shapes)}},
                       1) +
              "\n");
}

/// Chooses kernels for shapes without a stored choice, and stores the trials.
class Tuner {
 public:
  Tuner(const KernelTuning& tuning, const Provenance& machine, db::Database& database)
      : tuning_(tuning),
        machine_(machine),
        database_(database),
        worker_({.program = tuning.program,
                 .device = tuning.device,
                 .patience_ns = tuning.patience_ns,
                 .plugins = tuning.plugins}) {}

  /// False when interrupted.
  bool Tune(const Earlier& earlier, std::int64_t budget_ns, ShapeResult& result) {
    TuneShape shape = *result.shape;
    std::erase_if(shape.candidates,
                  [&](const std::string& kernel) { return hung_.contains(kernel); });
    const TuneRun run{.run =
                          [&](const AttentionConfig& config, const MeasureLimits& limits) {
                            return worker_.Run(config, limits, Interrupted);
                          },
                      .known = [&](const AttentionConfig& config) -> std::optional<Trial> {
                        const auto found = earlier.trials.find(KeyOf(config));
                        if (found == earlier.trials.end()) return std::nullopt;
                        return found->second;
                      },
                      .keep = [this](const Trial& trial) { Store(trial); },
                      .budget_ns = budget_ns};
    if (!shape.candidates.empty()) result.choice = TuneOneShape(shape, run);
    if (!result.choice) return shape.candidates.empty();
    result.status = "chosen";
    result.kernel = result.choice->config.kernel;
    result.detail = result.choice->verdict == ChoiceVerdict::kNone
                        ? "no kernel works"
                        : result.choice->trials.back().detail;
    for (const Trial& trial : result.choice->trials) {
      if (trial.detail.starts_with(kChosen)) result.detail = trial.detail;
      if (trial.outcome == TrialOutcome::kTimeout) hung_.insert(KernelOf(trial));
    }
    return true;
  }

 private:
  void Store(const Trial& trial) {
    if (!environment_) environment_ = database_.AddEnvironment(machine_);
    for (const KernelVariant& kernel : tuning_.target.kernels) {
      if (kernel.name == KernelOf(trial) && stored_.insert(kernel.name).second) {
        database_.AddKernel(kernel);
      }
    }
    database_.AddTrial(*environment_, trial);
  }

  const KernelTuning& tuning_;
  const Provenance& machine_;
  db::Database& database_;
  TrialWorker worker_;
  std::optional<std::int64_t> environment_;
  std::set<std::string> stored_;
  std::set<std::string> hung_;
};

}  // namespace

int TuneKernels(const KernelTuning& tuning, const Provenance& machine, db::Database* database) {
  Earlier earlier;
  if (database != nullptr && tuning.resume) earlier = EarlierRuns(*database, machine);
  std::vector<ShapeResult> results;
  int left = 0;
  for (const TuneShape& shape : tuning.shapes) {
    ShapeResult result{.shape = &shape};
    const auto known = earlier.chosen.find(ShapeKey(shape.config));
    if (known != earlier.chosen.end()) {
      result.status = "reused";
      result.kernel = KernelOf(known->second);
      result.detail = known->second.detail;
    } else {
      result.status = tuning.dry_run ? "to tune" : "left out";
      ++left;
    }
    results.push_back(std::move(result));
  }
  const int total = left;
  if (!tuning.dry_run && database != nullptr) {
    Tuner tuner(tuning, machine, *database);
    const std::int64_t end = runtime::SteadyNs() + tuning.budget_ns;
    for (ShapeResult& result : results) {
      const std::int64_t remaining = end - runtime::SteadyNs();
      if (result.status != "left out" || remaining <= 0 || Interrupted()) continue;
      if (!tuner.Tune(earlier, remaining / left--, result)) break;
      Progress(fmt::format("[{}/{}] {}", total - left, total, Describe(result.shape->config)));
    }
  }
  Print(tuning, machine, results);
  const auto out = std::count_if(results.begin(), results.end(), [](const ShapeResult& result) {
    return result.status == "left out";
  });
  if (out > 0) {
    Progress(fmt::format("{} shapes left out: {}; the same command tunes them",
                         out,
                         Interrupted() ? "interrupted" : "the budget is spent"));
  }
  return std::any_of(results.begin(),
                     results.end(),
                     [](const ShapeResult& result) {
                       return result.choice && result.choice->verdict == ChoiceVerdict::kNone;
                     })
             ? 1
             : 0;
}

}  // namespace dbsp::profiler
