// SPDX-License-Identifier: Apache-2.0
// dbsp-profile: measures a suite of configurations on this machine and keeps every finished trial.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>

#include "core/cli.h"
#include "core/error.h"
#include "core/json.h"
#include "db/database.h"
#include "kernels/attention.h"
#include "profiler/duration.h"
#include "profiler/run_trial.h"
#include "profiler/suite.h"
#include "runtime/clock.h"
#include "runtime/device.h"

namespace dbsp::profiler {
namespace {

std::atomic<bool> g_interrupted{false};  // NOLINT: a signal handler can reach nothing else

extern "C" void OnInterrupt(int) { g_interrupted = true; }

struct Options {
  std::string db, device = "cpu", suite = "quick", budget = "60s", workload, refine;
  int ranks = 8;
  std::uint64_t seed = 1;
  bool resume = true, dry_run = false, json = false, list = false;
};

struct Result {
  TrialConfig config;
  std::string status;  ///< "measured", "reused", "failed", "left out", "to measure"
  std::optional<Trial> trial;
};

std::int64_t MedianOf(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

std::string Row(const Result& result) {
  if (!result.trial) return fmt::format("{:>12}  {}\n", result.status, Describe(result.config));
  if (result.trial->outcome != TrialOutcome::kOk) {
    return fmt::format(
        "{:>12}  {}: {}\n", result.status, Describe(result.config), result.trial->detail);
  }
  return fmt::format("{:>9.3f} ms  {}  ({} samples, stop: {})\n",
                     static_cast<double>(MedianOf(result.trial->samples_ns)) / 1e6,
                     Describe(result.config),
                     result.trial->samples_ns.size(),
                     result.trial->stop_reason);
}

int Count(const std::vector<Result>& results, const std::string& status) {
  return static_cast<int>(std::count_if(
      results.begin(), results.end(), [&](const Result& r) { return r.status == status; }));
}

std::string Summary(const std::vector<Result>& results) {
  return fmt::format("{} trials: {} measured, {} reused, {} failed, {} left out",
                     results.size(),
                     Count(results, "measured"),
                     Count(results, "reused"),
                     Count(results, "failed"),
                     Count(results, "left out"));
}

Json ToJson(const Options& options, const std::vector<Result>& results, bool interrupted) {
  Json trials = Json::array();
  for (const Result& result : results) {
    Json entry{{"key", KeyOf(result.config)},
               {"what", Describe(result.config)},
               {"status", result.status}};
    if (result.trial) {
      entry["stop_reason"] = result.trial->stop_reason;
      entry["discarded"] = result.trial->discarded;
      entry["detail"] = result.trial->detail;
      entry["samples_ns"] = result.trial->samples_ns;
      if (!result.trial->samples_ns.empty()) {
        entry["median_ns"] = MedianOf(result.trial->samples_ns);
      }
    }
    trials.push_back(std::move(entry));
  }
  return {{"schema", "dbsp.profile/1"},
          {"database", options.db},
          {"suite", options.refine.empty() ? options.suite : "refine"},
          {"ranks", options.ranks},
          {"seed", options.seed},
          {"commit", BuildCommit()},
          {"interrupted", interrupted},
          {"measured", Count(results, "measured")},
          {"reused", Count(results, "reused")},
          {"failed", Count(results, "failed")},
          {"left_out", Count(results, "left out")},
          {"trials", std::move(trials)}};
}

std::vector<TrialConfig> SuiteOf(const Options& options) {
  SuiteOptions suite;
  suite.suite = options.suite;
  suite.ranks = options.ranks;
  suite.seed = options.seed;
  suite.kernel = kernels::FindCpuAttention("").name;
  if (!options.workload.empty()) suite.workload = ReadWorkload(options.workload);
  if (!options.refine.empty()) suite.plan = ReadPlan(options.refine);
  return MakeSuite(suite);
}

/// Measures in order until the budget is spent: each trial may use twice its equal share of what is
/// left, so that what quick trials save goes to the later ones.
void MeasureAll(const Options& options,
                const Provenance& machine,
                db::Database& database,
                std::int64_t budget_ns,
                std::vector<Result>& results) {
  const std::int64_t deadline = runtime::SteadyNs() + budget_ns;
  auto left = Count(results, "to measure");
  const int total = left;
  std::int64_t environment = 0;  // stored with the first trial: an idle run leaves no trace
  for (Result& result : results) {
    if (result.status != "to measure") continue;
    const std::int64_t remaining = deadline - runtime::SteadyNs();
    if (remaining <= 0 || g_interrupted) {
      result.status = "left out";
      continue;
    }
    MeasureLimits limits;
    limits.budget_ns = std::min(limits.budget_ns, 2 * remaining / left--);
    result.trial =
        RunTrial(result.config, options.refine.empty() ? options.suite : "refine", limits, [] {
          return g_interrupted.load();
        });
    if (!result.trial) {
      result.status = "left out";
      continue;
    }
    if (environment == 0) environment = database.AddEnvironment(machine);
    database.AddTrial(environment, *result.trial);
    result.status = result.trial->outcome == TrialOutcome::kOk ? "measured" : "failed";
    Progress(fmt::format("[{}/{}] {}", total - left, total, Describe(result.config)));
  }
}

void WarnAboutCores(const Options& options, const Provenance& machine) {
  if (options.ranks <= machine.cores) return;
  Progress(
      fmt::format("warning: {} ranks share {} cores: exchange times are those of an oversubscribed "
                  "machine, not of {} devices",
                  options.ranks,
                  machine.cores,
                  options.ranks));
}

void WriteResults(const Options& options, const std::vector<Result>& results) {
  if (options.json) {
    WriteStdout(DumpJson(ToJson(options, results, g_interrupted), 1) + "\n");
    return;
  }
  std::string text;
  for (const Result& result : results) text += Row(result);
  WriteStdout(text + Summary(results) + "\n");
}

int Profile(const Options& options, int argc, const char* const* argv) {
  const runtime::DeviceSpec device = runtime::ParseDevice(options.device);
  runtime::RequireDevice(device);
  const std::int64_t budget_ns = ParseDurationNs(options.budget, "--budget");
  std::vector<Result> results;
  for (TrialConfig& config : SuiteOf(options)) {
    results.push_back({std::move(config), "to measure", std::nullopt});
  }
  if (options.list) {
    WriteResults(options, results);
    return 0;
  }
  if (options.db.empty()) Fail(ErrorCode::kInvalidArgument, "--db is required; name the database");
  const Provenance machine = runtime::CollectProvenance(device, argc, argv);
  std::optional<db::Database> database;
  if (!options.dry_run || std::filesystem::exists(options.db)) {
    database = db::Database::Open(
        options.db, options.dry_run ? db::OpenMode::kReadOnly : db::OpenMode::kCreate);
  }
  for (Result& result : results) {
    if (database && options.resume &&
        database->FindTrial(KeyOf(result.config), machine, machine.git_commit)) {
      result.status = "reused";
    }
  }
  if (!options.dry_run) {
    WarnAboutCores(options, machine);
    std::signal(SIGINT, OnInterrupt);
    MeasureAll(options, machine, *database, budget_ns, results);
  }
  WriteResults(options, results);
  if (const int left = Count(results, "left out"); left > 0) {
    Progress(fmt::format(
        "{} trials left out{}; the same command measures them",
        left,
        g_interrupted ? ": interrupted" : fmt::format(": budget of {} spent", options.budget)));
  }
  if (g_interrupted) {
    Progress(fmt::format("interrupted: {} finished trials are kept in {}",
                         Count(results, "measured") + Count(results, "failed"),
                         options.db));
    database.reset();
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  return Count(results, "failed") > 0 ? 1 : 0;
}

int Main(int argc, const char* const* argv) {
  CLI::App app{"Measures attention, exchanges and copies on this machine into a database",
               "dbsp-profile"};
  Options options;
  app.add_option("--db", options.db, "Database file; made when absent");
  app.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--ranks", options.ranks, "Most ranks exchanges are measured between")
      ->capture_default_str();
  app.add_option("--suite", options.suite, "quick or full")->capture_default_str();
  app.add_option("--budget", options.budget, "Time to spend: 500ms, 60s, 5m")
      ->capture_default_str();
  app.add_option("--workload", options.workload, "Measure this workload's shapes first");
  app.add_option("--refine", options.refine, "Measure only what this plan's strategies use");
  app.add_flag("--resume,!--no-resume", options.resume, "Keep finished trials (default)");
  app.add_option("--seed", options.seed, "Of masks and values")->capture_default_str();
  app.add_flag("--dry-run", options.dry_run, "Say what would be measured; write nothing");
  app.add_flag("--list", options.list, "List the suite; needs no database");
  app.add_flag("--json", options.json, "One JSON document on stdout");
  return RunTool(app, argc, argv, [&] { return Profile(options, argc, argv); });
}

}  // namespace
}  // namespace dbsp::profiler

int main(int argc, char** argv) { return dbsp::profiler::Main(argc, argv); }
