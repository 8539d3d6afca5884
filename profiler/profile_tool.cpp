// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "core/cli.h"
#include "core/error.h"
#include "db/database.h"
#include "profiler/device_bench.h"
#include "profiler/duration.h"
#include "profiler/exchange_rank.h"
#include "profiler/nccl_trial.h"
#include "profiler/result.h"
#include "profiler/run_trial.h"
#include "profiler/suite.h"
#include "runtime/clock.h"
#include "runtime/cuda_device.h"
#include "runtime/device.h"

namespace dbsp::profiler {
namespace {

std::atomic<bool> g_interrupted{false};  // NOLINT: a signal handler can reach nothing else

extern "C" void OnInterrupt(int) { g_interrupted = true; }

struct Options {
  std::string db, device = "cpu", suite = "quick", budget, workload, refine;
  std::string min_bytes = "32K", max_bytes = "32M";
  double step_factor = 4;
  int ranks = 8, nccl_ctas = 0;
  std::uint64_t seed = 1;
  bool resume = true, dry_run = false, json = false, list = false;
};

/// Quick: a minute on a CPU, two and a half on a GPU; full on a GPU: 14 (docs/profiling.md).
std::string BudgetOf(const Options& options, const runtime::DeviceSpec& device) {
  if (!options.budget.empty()) return options.budget;
  if (device.kind == runtime::DeviceKind::kCpu || options.suite == "collectives") return "60s";
  return options.suite == "full" ? "840s" : "150s";
}

/// The device that attention and local work are measured on; null for the CPU and for exchanges.
/// errors  Error{kUnavailable} as OpenBench
std::shared_ptr<DeviceBench> BenchOf(const Options& options, const runtime::DeviceSpec& device) {
  if (device.kind == runtime::DeviceKind::kCpu || options.suite == "collectives") return nullptr;
  return OpenBench(device, {.limits = LimitsOf(options.refine.empty() ? options.suite : "refine")});
}

SuiteOptions SuiteOf(const Options& options, const DeviceBench* bench) {
  SuiteOptions suite;
  suite.suite = options.suite;
  suite.ranks = options.ranks;
  suite.seed = options.seed;
  suite.target = bench == nullptr ? CpuTarget()
                                  : GpuTarget(bench->device().arch,
                                              static_cast<std::int64_t>(runtime::CudaMemory().free),
                                              "");
  suite.sweep = {.begin_bytes = ParseBytes(options.min_bytes, "--min-bytes"),
                 .end_bytes = ParseBytes(options.max_bytes, "--max-bytes"),
                 .factor = options.step_factor,
                 .transport = options.device == "cpu" ? "threads" : "nccl"};
  if (!options.workload.empty()) suite.workload = ReadWorkload(options.workload);
  if (!options.refine.empty()) {
    suite.plan = ReadPlan(options.refine);
    suite.ranks = suite.plan->ranks;
  }
  return suite;
}

const char* SuiteName(const Options& options) {
  return options.refine.empty() ? options.suite.c_str() : "refine";
}

/// Configurations with the methods they were measured by, of this device and build.
std::set<std::pair<std::string, std::string>> Finished(const db::Database& database,
                                                       const Provenance& machine) {
  std::set<std::int64_t> here;
  for (const db::StoredEnvironment& stored : database.Environments()) {
    const Provenance& p = stored.provenance;
    if (p.device_kind == machine.device_kind && p.device_name == machine.device_name &&
        p.device_uuid == machine.device_uuid && p.git_commit == machine.git_commit) {
      here.insert(stored.id);
    }
  }
  std::set<std::pair<std::string, std::string>> finished;
  for (const db::StoredTrial& stored : database.Trials()) {
    if (stored.trial.outcome == TrialOutcome::kOk && here.contains(stored.environment_id)) {
      finished.insert({KeyOf(stored.trial.config), stored.trial.method});
    }
  }
  return finished;
}

/// What is known of the kernel that a trial ran, once in a run; nothing for other trials and
/// unknown names.
void StoreKernel(const TrialConfig& config,
                 const std::vector<KernelVariant>& kernels,
                 std::set<std::string>& stored,
                 db::Database& database) {
  const auto* attention = std::get_if<AttentionConfig>(&config);
  if (attention == nullptr || !stored.insert(attention->kernel).second) return;
  const auto kernel = std::find_if(kernels.begin(), kernels.end(), [&](const KernelVariant& k) {
    return k.name == attention->kernel;
  });
  if (kernel != kernels.end()) database.AddKernel(*kernel);
}

/// Measures in order until the budget is spent: each trial may use twice its equal share of what is
/// left, so that what quick trials save goes to the later ones.
void MeasureAll(RunSettings settings,
                const Provenance& machine,
                const std::vector<KernelVariant>& kernels,
                db::Database& database,
                std::int64_t budget_ns,
                std::vector<Result>& results) {
  settings.limits.deadline_ns = runtime::SteadyNs() + budget_ns;
  settings.interrupted = [] { return g_interrupted.load(); };
  const std::int64_t most_ns = settings.limits.budget_ns;
  const int total = Count(results, ResultStatus::kToMeasure);
  int left = total;
  std::set<std::string> stored;
  std::int64_t environment = 0;  // stored with the first trial: an idle run leaves no trace
  for (Result& result : results) {
    if (result.status != ResultStatus::kToMeasure) continue;
    const std::int64_t remaining = settings.limits.deadline_ns - runtime::SteadyNs();
    result.status = ResultStatus::kLeftOut;
    if (remaining <= 0 || g_interrupted) continue;
    settings.limits.budget_ns = std::min(most_ns, 2 * remaining / left--);
    result.trial = RunTrial(result.config, settings);
    if (!result.trial) continue;
    if (environment == 0) environment = database.AddEnvironment(machine);
    StoreKernel(result.config, kernels, stored, database);
    database.AddTrial(environment, *result.trial);
    result.status = result.trial->outcome == TrialOutcome::kOk ? ResultStatus::kMeasured
                                                               : ResultStatus::kFailed;
    Progress(fmt::format("[{}/{}] {}", total - left, total, Describe(result.config)));
  }
}

void WarnAboutCores(int ranks, const Provenance& machine) {
  if (ranks <= machine.cores) return;
  Progress(
      fmt::format("warning: {} ranks share {} cores: exchange times are those of an oversubscribed "
                  "machine, not of {} devices",
                  ranks,
                  machine.cores,
                  ranks));
}

/// On stderr: how a run that did not finish its suite is continued.
void TellHowToGoOn(const Options& options,
                   const std::string& budget,
                   const std::vector<Result>& results) {
  const int left = Count(results, ResultStatus::kLeftOut);
  if (g_interrupted) {
    const int kept =
        Count(results, ResultStatus::kMeasured) + Count(results, ResultStatus::kFailed);
    Progress(
        fmt::format("interrupted: {} finished trials are kept in {}; the same command measures the "
                    "{} left",
                    kept,
                    options.db,
                    left));
  } else if (left > 0) {
    Progress(fmt::format(
        "{} trials left out: budget of {} spent; the same command measures them", left, budget));
  }
}

/// A process that a signal ended tells its shell so: scripts that loop over runs stop too.
[[noreturn]] void DieBySigint() {
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
  std::abort();  // raise() does not return from a default action
}

void CatchSigint() {
  // What was started with interrupts ignored (nohup, a script's background job) keeps them so.
  if (std::signal(SIGINT, OnInterrupt) == SIG_IGN) std::signal(SIGINT, SIG_IGN);
}

void WriteResults(const Options& options,
                  int ranks,
                  const Provenance& machine,
                  const std::vector<Result>& results) {
  if (!options.json) {
    WriteStdout(ResultsText(results));
    return;
  }
  WriteStdout(ResultsJson({.database = options.list ? "" : options.db,
                           .device = machine.device_name,
                           .suite = SuiteName(options),
                           .cores = machine.cores,
                           .ranks = ranks,
                           .seed = options.seed,
                           .commit = BuildCommit(),
                           .interrupted = g_interrupted},
                          results));
}

/// The GPUs that exchanges are measured between; nothing on the CPU.
/// errors  Error{kUnavailable} with fewer GPUs than ranks
std::shared_ptr<const NcclWorld> WorldOf(const Options& options,
                                         const runtime::DeviceSpec& device) {
  if (device.kind == runtime::DeviceKind::kCpu || options.suite != "collectives") return nullptr;
  if (device.index != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--device {}: --suite collectives takes devices 0 to --ranks - 1; say cuda",
         options.device);
  }
  auto world = std::make_shared<NcclWorld>();
  try {
    *world = CudaWorld();
  } catch (const Error& error) {
    Fail(error.code(), "--device {}: unavailable: {}", options.device, error.what());
  }
  world->options.most_ctas = options.nccl_ctas;
  if (options.ranks > world->devices) {
    Fail(ErrorCode::kUnavailable,
         "--ranks {}: exchanges over NCCL take a GPU per rank; there are {}",
         options.ranks,
         world->devices);
  }
  return world;
}

int Profile(const Options& options, int argc, const char* const* argv) {
  const runtime::DeviceSpec device = runtime::ParseDevice(options.device);
  const std::shared_ptr<const NcclWorld> nccl = WorldOf(options, device);
  const std::shared_ptr<DeviceBench> bench = BenchOf(options, device);
  const std::string budget = BudgetOf(options, device);
  const std::int64_t budget_ns = ParseDurationNs(budget, "--budget");
  const SuiteOptions suite = SuiteOf(options, bench.get());
  const Provenance machine = runtime::CollectProvenance(device, argc, argv);
  std::vector<Result> results;
  for (TrialConfig& config : MakeSuite(suite)) results.push_back({std::move(config)});
  if (options.list) {
    WriteResults(options, suite.ranks, machine, results);
    return 0;
  }
  if (options.db.empty()) Fail(ErrorCode::kInvalidArgument, "--db is required; name the database");
  std::optional<db::Database> database;
  if (!options.dry_run || std::filesystem::exists(options.db)) {
    database = db::Database::Open(
        options.db, options.dry_run ? db::OpenMode::kReadOnly : db::OpenMode::kCreate);
  }
  if (database && options.resume) {
    const auto finished = Finished(*database, machine);
    for (Result& result : results) {
      if (finished.contains({KeyOf(result.config),
                             MethodOf(result.config, suite.ranks, nccl.get(), bench.get())})) {
        result.status = ResultStatus::kReused;
      }
    }
  }
  if (!options.dry_run) {
    if (!nccl && !bench) WarnAboutCores(suite.ranks, machine);
    CatchSigint();
    MeasureAll({.suite = SuiteName(options), .ranks = suite.ranks, .nccl = nccl, .bench = bench},
               machine,
               suite.target.kernels,
               *database,
               budget_ns,
               results);
  }
  database.reset();
  WriteResults(options, suite.ranks, machine, results);
  TellHowToGoOn(options, budget, results);
  if (g_interrupted) DieBySigint();
  return Count(results, ResultStatus::kFailed) > 0 ? 1 : 0;
}

}  // namespace

int ProfileMain(int argc, const char* const* argv) {
  CLI::App app{"Measures attention, exchanges and copies on this machine into a database",
               "dbsp-profile"};
  Options options;
  app.add_option("--db", options.db, "Database file; made when absent");
  app.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_option(
         "--ranks", options.ranks, "Most ranks exchanges are measured between; a plan has its own")
      ->capture_default_str();
  app.add_option("--suite", options.suite, "quick, full or collectives")->capture_default_str();
  app.add_option("-b,--min-bytes", options.min_bytes, "Collectives: first size: 32K, 8M")
      ->capture_default_str();
  app.add_option("-e,--max-bytes", options.max_bytes, "Collectives: last size")
      ->capture_default_str();
  app.add_option("-f,--step-factor", options.step_factor, "Collectives: from size to size")
      ->capture_default_str();
  app.add_option("--nccl-ctas",
                 options.nccl_ctas,
                 "Collectives: most SMs NCCL may take; 0 for its own choice")
      ->check(CLI::Range(0, 1024));
  app.add_option("--budget",
                 options.budget,
                 "Time to spend: 500ms, 60s, 5m (default 60s; on a GPU 150s, full 840s)");
  app.add_option("--workload", options.workload, "Measure this workload's shapes first");
  app.add_option("--refine", options.refine, "Measure only what this plan's strategies use");
  app.add_flag("--resume,!--no-resume", options.resume, "Keep finished trials (default)");
  app.add_option("--seed", options.seed, "Of masks and values")->capture_default_str();
  app.add_flag("--dry-run", options.dry_run, "Say what would be measured; write nothing");
  app.add_flag("--list", options.list, "List the suite; needs no database");
  app.add_flag("--json", options.json, "One JSON document on stdout");
  return RunTool(app, argc, argv, [&] { return Profile(options, argc, argv); });
}

}  // namespace dbsp::profiler
