// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "core/cli.h"
#include "core/error.h"
#include "db/database.h"
#include "profiler/duration.h"
#include "profiler/gpu/device_bench.h"
#include "profiler/interrupt.h"
#include "profiler/profile_kernels.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/nccl_trial.h"
#include "profiler/ranks/profile_ranks.h"
#include "profiler/result.h"
#include "profiler/run_trial.h"
#include "profiler/suites/measure_all.h"
#include "profiler/suites/suite.h"
#include "profiler/trial_worker.h"
#include "runtime/child_process.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/device.h"

namespace dbsp::profiler {
namespace {

struct Options {
  std::string db, device = "cpu", suite = "quick", budget, workload, refine, kernel;
  std::string min_bytes = "32K", max_bytes = "32M";
  double step_factor = 4;
  int ranks = 8, nccl_ctas = 0;
  bool ranks_given = false, tune_kernels = false;
  RankFlags rank_flags;
  std::uint64_t seed = 1;
  bool resume = true, dry_run = false, json = false, list = false, counters = false;
};

/// Suites of exchanges, between GPUs or between threads.
bool BetweenRanks(const std::string& suite) { return suite == "collectives" || suite == "overlap"; }

/// Quick: a minute on a CPU, two and a half on a GPU; full on a GPU: 14 (docs/profiling.md).
std::string BudgetOf(const Options& options, const runtime::DeviceSpec& device) {
  if (!options.budget.empty()) return options.budget;
  if (device.kind == runtime::DeviceKind::kCpu || options.suite == "collectives") return "60s";
  if (options.suite == "overlap") return "300s";
  return options.suite == "full" ? "840s" : "150s";
}

const char* SuiteName(const Options& options) {
  return options.refine.empty() ? options.suite.c_str() : "refine";
}

/// The device that attention and local work are measured on; null for the CPU and for exchanges.
/// errors  Error{kUnavailable} as OpenBench
std::shared_ptr<DeviceBench> BenchOf(const Options& options, const runtime::DeviceSpec& device) {
  if (device.kind == runtime::DeviceKind::kCpu || BetweenRanks(options.suite)) return nullptr;
  return OpenBench(device, {.limits = LimitsOf(SuiteName(options)), .counters = options.counters});
}

/// Leaves those whose names contain `text`.
/// errors  Error{kInvalidArgument} with the names there are, when it leaves none
void KeepKernels(const std::string& text, std::vector<KernelVariant>& kernels) {
  std::vector<KernelVariant> kept;
  std::string names;
  for (const KernelVariant& kernel : kernels) {
    if (kernel.name.find(text) != std::string::npos) kept.push_back(kernel);
    names += (names.empty() ? "" : ", ") + kernel.name;
  }
  if (kept.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernel {}: no kernel of this device has that in its name; there are {}",
         text,
         names);
  }
  kernels = std::move(kept);
}

SuiteOptions SuiteOf(const Options& options,
                     const runtime::CudaDeviceFacts* gpu,
                     const LaunchedRank* ranks) {
  SuiteOptions suite;
  suite.suite = options.suite;
  suite.ranks = options.ranks;
  suite.seed = options.seed;
  if (gpu == nullptr) {
    suite.target = CpuTarget();
  } else {
    suite.target = GpuTarget(gpu->arch,
                             static_cast<std::int64_t>(runtime::CudaMemory().free),
                             options.suite == "overlap" ? "nccl" : "");
    suite.target.sm_count = gpu->sm_count;
  }
  const bool narrows = options.suite != "collectives" && !options.tune_kernels;
  if (narrows) KeepKernels(options.kernel, suite.target.kernels);
  suite.sweep = {.begin_bytes = ParseBytes(options.min_bytes, "--min-bytes"),
                 .end_bytes = ParseBytes(options.max_bytes, "--max-bytes"),
                 .factor = options.step_factor,
                 .transport = options.device == "cpu" ? "threads" : "nccl"};
  if (ranks != nullptr) {
    const std::vector<int> nodes = NodesOfRanks(ranks->group());
    const auto size = static_cast<int>(nodes.size());
    suite.sweep.nodes_of = [nodes](int count) { return NodesOf(nodes, count, 1); };
    suite.sweep.ring_nodes_of = [nodes, size](int count) {
      return NodesOf(nodes, count, size % count == 0 ? size / count : 1);
    };
  }
  if (!options.workload.empty()) suite.workload = ReadWorkload(options.workload);
  if (!options.refine.empty()) {
    suite.plan = ReadPlan(options.refine);
    suite.ranks = suite.plan->ranks;
  }
  return suite;
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
                   const std::optional<std::string>& lost_rank,
                   const std::vector<Result>& results) {
  const int left = Count(results, ResultStatus::kLeftOut);
  if (Interrupted()) {
    const int kept =
        Count(results, ResultStatus::kMeasured) + Count(results, ResultStatus::kFailed);
    Progress(
        fmt::format("interrupted: {} finished trials are kept in {}; the same command measures the "
                    "{} left",
                    kept,
                    options.db,
                    left));
  } else if (lost_rank) {
    Progress(
        fmt::format("stopped: {}; finished trials are kept, the same command measures the {} left",
                    *lost_rank,
                    left));
  } else if (left > 0) {
    Progress(fmt::format(
        "{} trials left out: budget of {} spent; the same command measures them", left, budget));
  }
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
                           .interrupted = Interrupted()},
                          results));
}

bool MeasuresExchanges(const Options& options, const runtime::DeviceSpec& device) {
  const bool exchanges = device.kind == runtime::DeviceKind::kCuda && BetweenRanks(options.suite);
  if (exchanges && device.index != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--device {}: --suite {} takes devices 0 to --ranks - 1; say cuda",
         options.device,
         options.suite);
  }
  if (options.suite == "overlap" && options.nccl_ctas != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--nccl-ctas {}: --suite overlap has SM margins of its own, which NCCL is held to; leave "
         "it out",
         options.nccl_ctas);
  }
  if (options.suite == "overlap" && options.rank_flags.check) {
    Fail(ErrorCode::kInvalidArgument,
         "--check, --one-gpu: check the exchanges of --suite collectives; overlaps are checked "
         "whenever they are measured");
  }
  return exchanges;
}

/// The GPUs of this host that exchanges are measured between.
/// errors  Error{kUnavailable} without any, or with fewer than ranks that are threads of this
///         process
NcclWorld WorldOf(const Options& options, const LaunchedRank* ranks) {
  NcclWorld world;
  try {
    world = CudaWorld();
  } catch (const Error& error) {
    Fail(error.code(), "--device {}: unavailable: {}", options.device, error.what());
  }
  world.options.most_ctas = options.nccl_ctas;
  world.options.deadline_ns = ParseDurationNs(options.rank_flags.deadline, "--deadline");
  if (ranks == nullptr && options.ranks > world.devices) {
    Fail(ErrorCode::kUnavailable,
         "--ranks {}: exchanges over NCCL take a GPU per rank; there are {}",
         options.ranks,
         world.devices);
  }
  return world;
}

/// Everything of a run whose ranks, if there are any, have met.
int ProfileAsRankZero(const Options& options,
                      const runtime::DeviceSpec& device,
                      LaunchedRank* ranks,
                      const std::shared_ptr<const NcclWorld>& nccl,
                      int argc,
                      const char* const* argv) {
  const std::shared_ptr<DeviceBench> bench = BenchOf(options, device);
  if (options.counters && !bench) {
    Fail(ErrorCode::kInvalidArgument,
         "--counters: counts attention on a GPU; give --device cuda and --suite quick or full");
  }
  const std::string budget = BudgetOf(options, device);
  const std::int64_t budget_ns = ParseDurationNs(budget, "--budget");
  std::optional<runtime::CudaDeviceFacts> gpu;
  if (bench) gpu = bench->device();
  if (nccl && options.suite == "overlap") gpu = runtime::OpenCudaDevice(device.index);
  const SuiteOptions suite = SuiteOf(options, gpu ? &*gpu : nullptr, ranks);
  if (ranks != nullptr && options.rank_flags.check) {
    return Check(options.rank_flags, *ranks, *nccl->processes, MakeSuite(suite), options.json);
  }
  Provenance machine = runtime::CollectProvenance(device, argc, argv);
  if (ranks != nullptr) ranks->Describe(machine);
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
    for (Result& result : results) {
      const std::string method = MethodOf(result.config, suite.ranks, nccl.get(), bench.get());
      if (database->HasFinishedTrial(KeyOf(result.config), method, machine)) {
        result.status = ResultStatus::kReused;
      }
    }
  }
  if (!options.dry_run) {
    if (!nccl && !bench) WarnAboutCores(suite.ranks, machine);
    if (const auto warning = runtime::WarningOf(machine)) Progress(*warning);
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
  TellHowToGoOn(options, budget, LostRank(nccl.get()), results);
  return Count(results, ResultStatus::kFailed) > 0 ? 1 : 0;
}

/// Every trial in a worker process: this one knows the device's facts and runs nothing on it.
int TuneKernelsOf(const Options& options,
                  const runtime::DeviceSpec& device,
                  int argc,
                  const char* const* argv) {
  const bool dry_run = options.list || options.dry_run;
  if (BetweenRanks(options.suite) || HasSeveral(options.rank_flags)) {
    Fail(ErrorCode::kInvalidArgument,
         "--tune-kernels measures attention on one device: leave out --suite collectives or "
         "overlap, --processes and launchers");
  }
  if (options.db.empty() && !dry_run) {
    Fail(ErrorCode::kInvalidArgument, "--db is required; name the database");
  }
  std::optional<runtime::CudaDeviceFacts> gpu;
  if (device.kind == runtime::DeviceKind::kCuda) gpu = runtime::OpenCudaDevice(device.index);
  const SuiteOptions suite = SuiteOf(options, gpu ? &*gpu : nullptr, nullptr);
  KernelTuning tuning{.device = options.device,
                      .program = argv[0],
                      .database = options.db,
                      .budget_ns = ParseDurationNs(BudgetOf(options, device), "--budget"),
                      .patience_ns = ParseDurationNs(options.rank_flags.deadline, "--deadline"),
                      .resume = options.resume,
                      .dry_run = dry_run,
                      .json = options.json};
  tuning.target =
      gpu ? GpuTuneTarget(gpu->arch, gpu->sm_count, gpu->shared_bytes_per_block) : CpuTuneTarget();
  tuning.shapes = ShapesOf(MakeSuite(suite), tuning.target);
  std::optional<db::Database> database;
  if (!options.db.empty() && (!dry_run || std::filesystem::exists(options.db))) {
    database =
        db::Database::Open(options.db, dry_run ? db::OpenMode::kReadOnly : db::OpenMode::kCreate);
  }
  CatchSigint();
  const int code = TuneKernels(
      tuning, runtime::CollectProvenance(device, argc, argv), database ? &*database : nullptr);
  database.reset();
  if (Interrupted()) DieBySigint();
  return code;
}

int Profile(Options options, int argc, const char* const* argv) {
  const runtime::DeviceSpec device = runtime::ParseDevice(options.device);
  if (options.tune_kernels) return TuneKernelsOf(options, device, argc, argv);
  options.rank_flags.check |= options.rank_flags.one_gpu;
  const bool exchanges = MeasuresExchanges(options, device);
  const bool measures = !options.list && !options.dry_run;
  if (!measures) {
    const auto place = runtime::FindRankPlace();
    if (place && place->rank > 0) return 0;  // rank 0 prints it
  }
  int code = 0;
  {
    const std::unique_ptr<LaunchedRank> ranks = RanksOf(options.rank_flags,
                                                        {.exchanges = exchanges,
                                                         .measures = measures,
                                                         .ranks = options.ranks,
                                                         .ranks_given = options.ranks_given,
                                                         .database = options.db,
                                                         .argv = {argv, argv + argc}});
    if (ranks) options.ranks = ranks->size();
    std::shared_ptr<const NcclWorld> nccl;
    if (exchanges) {
      NcclWorld world = WorldOf(options, ranks.get());
      world.will_be_processes = HasSeveral(options.rank_flags);
      if (ranks && ranks->rank() != 0) return Follow(*ranks, world);
      nccl = ranks ? ranks->Lead(world) : std::make_shared<NcclWorld>(world);
    }
    code = ProfileAsRankZero(options, device, ranks.get(), nccl, argc, argv);
  }
  // After the other ranks have ended: dying would leave them unreaped.
  if (Interrupted()) DieBySigint();
  return code;
}

}  // namespace

int ProfileMain(int argc, const char* const* argv) {
  CLI::App app{"Measures attention, exchanges and copies on this machine into a database",
               "dbsp-profile"};
  Options options;
  app.add_option("--db", options.db, "Database file; made when absent");
  app.add_option("--device", options.device, "cpu, cuda or cuda:N")->capture_default_str();
  const CLI::Option* ranks =
      app.add_option("--ranks",
                     options.ranks,
                     "Most ranks exchanges are measured between; a plan has its own")
          ->capture_default_str();
  app.add_option("--suite", options.suite, "quick, full, collectives or overlap")
      ->capture_default_str();
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
  app.add_flag("--tune-kernels",
               options.tune_kernels,
               "Choose a kernel for every attention shape of the suite, each trial in a process of "
               "its own");
  AddRankFlags(app, options.rank_flags);
  app.add_option(
      "--budget",
      options.budget,
      "Time to spend: 500ms, 60s, 5m (default 60s; on a GPU 150s, full 840s, overlap 300s)");
  app.add_option("--kernel", options.kernel, "Only attention kernels with this in their names");
  app.add_option("--workload", options.workload, "Measure this workload's shapes first");
  app.add_option("--refine", options.refine, "Measure only what this plan's strategies use");
  app.add_flag("--counters",
               options.counters,
               "On a GPU: hardware counters of attention, in a pass of their own");
  app.add_flag("--resume,!--no-resume", options.resume, "Keep finished trials (default)");
  app.add_option("--seed", options.seed, "Of masks and values")->capture_default_str();
  app.add_flag("--dry-run", options.dry_run, "Say what would be measured; write nothing");
  app.add_flag("--list", options.list, "List the suite; needs no database");
  app.add_flag("--json", options.json, "One JSON document on stdout");
  runtime::EndWithParent();
  if (const auto code = ServeTrialsIfWorker()) return *code;
  return RunTool(app, argc, argv, [&] {
    options.ranks_given = ranks->count() > 0;
    try {
      return Profile(options, argc, argv);
    } catch (const runtime::EndedByRankZero& error) {
      return ExitCode(error.code());  // rank 0 prints why
    }
  });
}

}  // namespace dbsp::profiler
