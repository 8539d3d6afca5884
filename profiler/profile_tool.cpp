// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "core/plan_note.h"
#include "core/stop_signals.h"
#include "db/database.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/plugin.h"
#include "planner/timeline/validate.h"
#include "profiler/duration.h"
#include "profiler/gpu/device_bench.h"
#include "profiler/profile_kernels.h"
#include "profiler/profile_options.h"
#include "profiler/ranks/exchange_messages.h"
#include "profiler/ranks/exchange_rank.h"
#include "profiler/ranks/nccl_world.h"
#include "profiler/ranks/profile_ranks.h"
#include "profiler/result.h"
#include "profiler/run_lock.h"
#include "profiler/run_trial.h"
#include "profiler/suites/measure_all.h"
#include "profiler/suites/suite.h"
#include "profiler/trial_worker.h"
#include "runtime/child_process.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/device.h"
#include "runtime/python_host.h"

namespace dbsp::profiler {
namespace {

void NoteSkippedKernels() {
  const std::string note = kernels::gpu::SkippedKernelsNote();
  if (!note.empty()) Progress(note);
}

/// Adds the kernels of --kernels to the table. For a Python file, an interpreter takes over.
/// errors  Error{kInvalidArgument} on a GPU; those of UsePlugins
void UsePluginsOf(const ProfileOptions& options,
                  const runtime::DeviceSpec& device,
                  int argc,
                  const char* const* argv) {
  if (options.kernels.empty()) return;
  if (device.kind != runtime::DeviceKind::kCpu) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: plugins run on the CPU only in this version; leave out --device {}",
         options.kernels.front(),
         options.device);
  }
  for (const std::string& file : options.kernels) {
    if (!IsPythonPlugin(file) || kernels::IsPluginUsed(file)) continue;
    kernels::RequirePluginFile(file);
    runtime::RunInPython("dbsp-profile-hosted.so", PluginPathOf(file), {argv, argv + argc});
  }
  kernels::UsePlugins(options.kernels);
}

/// Facts of the process, with those of the plugins' kernels.
Provenance MachineOf(const runtime::DeviceSpec& device, int argc, const char* const* argv) {
  Provenance machine = runtime::CollectProvenance(device, argc, argv);
  for (const kernels::PluginKernel* kernel : kernels::PluginKernels()) {
    machine.extra[PluginFactName(kernel->id)] = ToText(kernels::FactsOf(*kernel));
  }
  return machine;
}

/// The GPU that measures attention and local work; null on the CPU and for exchange suites.
/// errors  Error{kUnavailable} as OpenBench
std::shared_ptr<DeviceBench> BenchOf(const ProfileOptions& options,
                                     const runtime::DeviceSpec& device) {
  if (device.kind == runtime::DeviceKind::kCpu || IsExchangeSuite(options.suite)) return nullptr;
  return OpenBench(device, {.limits = LimitsOf(SuiteName(options)), .counters = options.counters});
}

/// Keeps the kernels whose names contain `text`.
/// errors  Error{kInvalidArgument} with all names, when none is kept
void KeepKernels(const std::string& text, std::vector<KernelVariant>& kernels) {
  std::vector<KernelVariant> kept;
  std::string names;
  for (const KernelVariant& kernel : kernels) {
    if (kernel.name.find(text) != std::string::npos) kept.push_back(kernel);
    names += (names.empty() ? "" : ", ") + kernel.name;
  }
  if (kept.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernel {}: no kernel of this device has this text in its name; the kernels are {}",
         text,
         names);
  }
  kernels = std::move(kept);
}

SuiteOptions SuiteOf(const ProfileOptions& options,
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
                             options.suite == "overlap" ? std::optional("nccl") : std::nullopt);
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
  if (options.workload) suite.workload = ReadWorkload(*options.workload);
  if (options.refine) {
    suite.plan = ReadPlan(*options.refine);
    NoteUnhashedPlan(*suite.plan, *options.refine);
    planner::ValidatePlan(*suite.plan, *options.refine, ErrorCode::kCorruptInput);
    suite.ranks = suite.plan->ranks;
  }
  return suite;
}

void WarnAboutCores(int ranks, const Provenance& machine) {
  if (ranks <= machine.cores) return;
  Progress(fmt::format(
      "warning: {} ranks share {} cores: exchange times are of an oversubscribed machine "
      "and not of {} devices",
      ranks,
      machine.cores,
      ranks));
}

/// Writes to stderr how to continue a run that did not finish its suite.
void PrintHowToContinue(const ProfileOptions& options,
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
                    options.db.value_or(""),
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

void WriteResults(const ProfileOptions& options,
                  int ranks,
                  const Provenance& machine,
                  const std::vector<Result>& results) {
  if (!options.json) {
    WriteStdout(ResultsText(results));
    return;
  }
  WriteStdout(ResultsJson({.database = options.list ? "" : options.db.value_or(""),
                           .device = machine.device_name,
                           .suite = SuiteName(options),
                           .cores = machine.cores,
                           .ranks = ranks,
                           .seed = options.seed,
                           .commit = BuildCommit(),
                           .interrupted = Interrupted()},
                          results));
}

/// The GPUs of this host that exchanges are measured between.
/// errors  Error{kUnavailable} without any GPU, or when the ranks are threads of this process and
///         there are fewer GPUs
NcclWorld WorldOf(const ProfileOptions& options, const LaunchedRank* ranks) {
  NcclWorld world;
  try {
    world = CudaWorld();
  } catch (const Error& error) {
    Fail(error.code(), "--device {}: unavailable: {}", options.device, error.what());
  }
  world.options.most_ctas = options.nccl_ctas;
  if (options.exchange_clock == "host") world.clock = ExchangeClock::kHost;
  world.options.deadline_ns = ParseDurationNs(options.rank_flags.deadline, "--deadline");
  if (ranks == nullptr && options.ranks > world.devices) {
    Fail(ErrorCode::kUnavailable,
         "--ranks {}: exchanges over NCCL need one GPU per rank; there are {}",
         options.ranks,
         world.devices);
  }
  return world;
}

/// Measures or lists the suite on rank 0, or on the only process.
/// ranks  null without rank processes
int ProfileAsRankZero(const ProfileOptions& options,
                      const runtime::DeviceSpec& device,
                      LaunchedRank* ranks,
                      const std::shared_ptr<const NcclWorld>& nccl,
                      int argc,
                      const char* const* argv) {
  const std::shared_ptr<DeviceBench> bench = BenchOf(options, device);
  if (options.counters && !bench) {
    Fail(ErrorCode::kInvalidArgument,
         "--counters reads counters of attention on a GPU; give --device cuda and --suite quick or "
         "full");
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
  Provenance machine = MachineOf(device, argc, argv);
  if (ranks != nullptr) ranks->Describe(machine);
  std::vector<Result> results;
  for (TrialConfig& config : MakeSuite(suite)) results.push_back({std::move(config)});
  if (options.list) {
    WriteResults(options, suite.ranks, machine, results);
    return 0;
  }
  if (!options.db) Fail(ErrorCode::kInvalidArgument, "--db is required: give the database file");
  std::optional<RunLock> lock;
  if (!options.dry_run) lock.emplace(*options.db);
  std::optional<db::Database> database;
  std::error_code ignored;
  if (!options.dry_run || std::filesystem::exists(*options.db, ignored)) {
    database = db::Database::Open(
        *options.db, options.dry_run ? db::OpenMode::kReadOnly : db::OpenMode::kCreate);
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
    lock->NoteOthers();
    if (!nccl && !bench) WarnAboutCores(suite.ranks, machine);
    if (const auto warning = runtime::WarningOf(machine)) Progress(*warning);
    if (gpu) NoteSkippedKernels();
    NoteSignals();
    TrialWorker worker({.program = argv[0],
                        .suite = SuiteName(options),
                        .device = options.device,
                        .patience_ns = ParseDurationNs(options.rank_flags.deadline, "--deadline"),
                        .plugins = options.kernels});
    MeasureAll({.suite = SuiteName(options), .ranks = suite.ranks, .nccl = nccl, .bench = bench},
               machine,
               suite.target.kernels,
               *database,
               budget_ns,
               worker,
               results);
  }
  database.reset();
  WriteResults(options, suite.ranks, machine, results);
  PrintHowToContinue(options, budget, LostRank(nccl.get()), results);
  return Count(results, ResultStatus::kFailed) > 0 ? 1 : 0;
}

/// --tune-kernels. Trials run in worker processes; this process only reads the device's properties.
int TuneKernelsOf(const ProfileOptions& options,
                  const runtime::DeviceSpec& device,
                  int argc,
                  const char* const* argv) {
  const bool dry_run = options.list || options.dry_run;
  if (IsExchangeSuite(options.suite) || HasRankProcesses(options.rank_flags)) {
    Fail(ErrorCode::kInvalidArgument,
         "--tune-kernels measures attention on one device: leave out --suite collectives, --suite "
         "overlap, --processes and launchers");
  }
  if (!options.db && !dry_run) {
    Fail(ErrorCode::kInvalidArgument, "--db is required: give the database file");
  }
  std::optional<runtime::CudaDeviceFacts> gpu;
  if (device.kind == runtime::DeviceKind::kCuda) gpu = runtime::OpenCudaDevice(device.index);
  const SuiteOptions suite = SuiteOf(options, gpu ? &*gpu : nullptr, nullptr);
  KernelTuning tuning{.device = options.device,
                      .program = argv[0],
                      .plugins = options.kernels,
                      .database = options.db.value_or(""),
                      .budget_ns = ParseDurationNs(BudgetOf(options, device), "--budget"),
                      .patience_ns = ParseDurationNs(options.rank_flags.deadline, "--deadline"),
                      .resume = options.resume,
                      .dry_run = dry_run,
                      .json = options.json};
  tuning.target =
      gpu ? GpuTuneTarget(gpu->arch, gpu->sm_count, gpu->shared_bytes_per_block) : CpuTuneTarget();
  tuning.shapes = ShapesOf(MakeSuite(suite), tuning.target);
  std::optional<RunLock> lock;
  if (!dry_run) lock.emplace(*options.db);
  std::optional<db::Database> database;
  std::error_code ignored;
  if (options.db && (!dry_run || std::filesystem::exists(*options.db, ignored))) {
    database =
        db::Database::Open(*options.db, dry_run ? db::OpenMode::kReadOnly : db::OpenMode::kCreate);
  }
  if (lock) lock->NoteOthers();
  if (gpu) NoteSkippedKernels();
  NoteSignals();
  const int code =
      TuneKernels(tuning, MachineOf(device, argc, argv), database ? &*database : nullptr);
  database.reset();
  lock.reset();
  if (Interrupted()) DieBySignal();
  return code;
}

void CheckOutputPaths(const ProfileOptions& options) {
  constexpr std::string_view kFile = "file:";
  std::vector<OutputPath> outputs;
  if (options.db) outputs.push_back({"--db", *options.db, FileUse::kDatabase});
  const std::string rendezvous = options.rank_flags.rendezvous.value_or("");
  if (rendezvous.starts_with(kFile)) {
    outputs.push_back({"--rendezvous", rendezvous.substr(kFile.size())});
  }
  std::vector<InputPath> inputs{{"the workload", options.workload.value_or("")},
                                {"the plan", options.refine.value_or("")}};
  for (const std::string& file : options.kernels) {
    inputs.push_back({"--kernels", PluginPathOf(file)});
  }
  const OpenOutputs open = CheckOutputs(outputs, inputs);
}

int Profile(ProfileOptions options, int argc, const char* const* argv) {
  const runtime::DeviceSpec device = runtime::ParseDevice(options.device);
  CheckOutputPaths(options);
  UsePluginsOf(options, device, argc, argv);
  SayKept("finished trials are kept");
  if (options.tune_kernels) return TuneKernelsOf(options, device, argc, argv);
  options.rank_flags.check |= options.rank_flags.one_gpu;
  const bool exchanges = MeasuresGpuExchanges(options, device);
  const bool measures = !options.list && !options.dry_run;
  if (!measures) {
    const auto launched = runtime::FindLauncherRank();
    if (launched && launched->rank > 0) return 0;  // only rank 0 prints the list
  }
  int code = 0;
  {
    const std::unique_ptr<LaunchedRank> ranks = JoinRanks(options.rank_flags,
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
      world.will_be_processes = HasRankProcesses(options.rank_flags);
      if (ranks && ranks->rank() != 0) return Follow(*ranks, world);
      nccl = ranks ? ranks->Lead(world) : std::make_shared<NcclWorld>(world);
    }
    code = ProfileAsRankZero(options, device, ranks.get(), nccl, argc, argv);
  }
  // Only here, after the other ranks have ended: otherwise nothing would reap them.
  if (Interrupted()) DieBySignal();
  return code;
}

}  // namespace

int ProfileMain(int argc, const char* const* argv) {
  CLI::App app{"Measures attention, exchanges and copies on this machine into a database",
               "dbsp-profile"};
  ProfileOptions options;
  AddProfileFlags(app, options);
  runtime::EndWithParent();
  if (const auto code = ServeTrialsIfWorker()) return *code;
  return RunTool(app, argc, argv, [&] {
    try {
      return Profile(options, argc, argv);
    } catch (const runtime::EndedByRankZero& error) {
      return ExitCode(error.code());  // rank 0 prints the reason
    }
  });
}

}  // namespace dbsp::profiler
