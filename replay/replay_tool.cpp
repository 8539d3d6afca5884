// SPDX-License-Identifier: Apache-2.0
#include "replay/replay_tool.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "core/cli.h"
#include "core/error.h"
#include "core/file.h"
#include "core/output.h"
#include "core/plan.h"
#include "core/plan_check.h"
#include "core/plan_note.h"
#include "core/stop_signals.h"
#include "core/workload.h"
#include "db/database.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/plugin.h"
#include "planner/timeline/validate.h"
#include "planner/workload/mask_files.h"
#include "planner/workload/mask_source.h"
#include "replay/cell.h"
#include "replay/options.h"
#include "replay/prediction_check.h"
#include "replay/replay.h"
#include "replay/runner.h"
#include "replay/summary.h"
#include "replay/trace.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/device.h"
#include "runtime/python_host.h"

namespace dbsp::replay {
namespace {

struct Flags {
  std::string plan;
  std::string db;
  std::string workload;
  std::string device = "cpu";
  std::string transport = "serial";
  std::string cells = "distinct";
  std::string trace;
  bool verify = false;
  bool cupti = false;
  bool json = false;
  bool force = false;
  int repeat = 3;
  int warmup = 1;
  std::uint64_t seed = 1;
  std::optional<std::string> kernel;
  std::vector<std::string> kernels;
  std::string graph = "auto";
  int sm_margin = 0;
  std::optional<double> tolerance;
  std::int64_t verify_work = VerifyOptions{}.work_limit;
};

void AddInputFlags(CLI::App& app, Flags& flags) {
  constexpr const char* kGroup = "Inputs";
  app.add_option("plan", flags.plan, "Plan file made by dbsp-tune")->required();
  app.add_option("--workload", flags.workload, "Read the masks from this file instead of the plan")
      ->group(kGroup);
  app.add_option("--cells", flags.cells, "Cells to run: all, distinct, first:N or STEP,LAYER")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--seed", flags.seed, "Seed of Q, K, V and of the sampled rows")
      ->capture_default_str()
      ->group(kGroup);
  app.add_flag("--force",
               flags.force,
               "Replay although the workload or the database does not match the plan")
      ->group(kGroup);
}

void AddExecutionFlags(CLI::App& app, Flags& flags) {
  constexpr const char* kGroup = "Execution";
  app.add_option("--device", flags.device, "cpu or cuda[:N]")->capture_default_str()->group(kGroup);
  app.add_option("--transport", flags.transport, "serial, threads or nccl")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--kernel", flags.kernel, "Attention kernel that replaces the planned one")
      ->group(kGroup);
  app.add_option("--kernels",
                 flags.kernels,
                 "On a CPU: plugin with the planned kernels, or with that of --kernel "
                 "(lib.so, docs/plugins.md)")
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option(
         "--graph", flags.graph, "Launch serial runs on cuda as CUDA graphs: auto, on or off")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--sm-margin",
                 flags.sm_margin,
                 "Number of SMs reserved for NCCL while an exchange runs during attention")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group(kGroup);
  app.add_option("--repeat", flags.repeat, "Kept runs per cell; the median run is recorded")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
  app.add_option("--warmup", flags.warmup, "Discarded runs per cell before the kept runs")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->group(kGroup);
}

void AddVerificationFlags(CLI::App& app, Flags& flags) {
  constexpr const char* kGroup = "Verification";
  app.add_flag("--verify", flags.verify, "Compare the outputs with an fp64 reference")
      ->group(kGroup);
  app.add_option("--tolerance",
                 flags.tolerance,
                 "Largest accepted relative Frobenius error (default: 1e-5 on cpu, 5e-3 on cuda)")
      ->check(CLI::Range(0.0, 1e6))
      ->group(kGroup);
  app.add_option("--verify-work",
                 flags.verify_work,
                 "Multiply-adds of the reference per cell above which rows are sampled")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->group(kGroup);
}

void AddOutputFlags(CLI::App& app, Flags& flags) {
  constexpr const char* kGroup = "Output";
  app.add_option("--db", flags.db, "Database that stores the replay, its ledger and the plan")
      ->each(db::Database::CheckPath)
      ->group(kGroup);
  app.add_option("--trace", flags.trace, "Write one Chrome trace per rank into this folder")
      ->group(kGroup);
  app.add_flag("--cupti",
               flags.cupti,
               "Run every cell on cuda again with CUPTI Activity and print the tracing overhead")
      ->group(kGroup);
  app.add_flag("--json", flags.json, "Print one JSON document")->group(kGroup);
}

void AddFlags(CLI::App& app, Flags& flags) {
  AddInputFlags(app, flags);
  AddExecutionFlags(app, flags);
  AddVerificationFlags(app, flags);
  AddOutputFlags(app, flags);
  app.footer(
      "Examples:\n"
      "  dbsp-replay plan.json --db p.db --verify\n"
      "  dbsp-replay plan.json --transport threads --cells first:2 --trace traces");
}

/// Fails, or with --force prints a warning, when a hash differs from the plan's.
void RequireSame(const char* what,
                 const std::string& path,
                 const std::string& planned,
                 const std::string& found,
                 bool force) {
  if (planned == found) return;
  const std::string text =
      fmt::format("{}: {} hash is {}, but the plan was made for {}", path, what, found, planned);
  if (!force) {
    Fail(ErrorCode::kMismatch, "{}; --force replays it anyway", text);
  }
  Progress("warning: " + text + " (--force)");
}

Workload WorkloadOf(const Plan& plan, const Flags& flags) {
  if (flags.workload.empty()) {
    Workload workload = WorkloadFromJson(plan.workload_json, flags.plan + " (workload)");
    workload.directory = BaseFolderOf(flags.plan) / plan.workload_directory;
    RequireSame("workload", flags.plan, plan.workload_hash, HashOf(workload), flags.force);
    return workload;
  }
  Workload workload = ReadWorkload(flags.workload);
  RequireSame("workload", flags.workload, plan.workload_hash, HashOf(workload), flags.force);
  CheckFitsWorkload(plan, workload, flags.workload, flags.plan, ErrorCode::kMismatch);
  return workload;
}

/// Opens the database before the replay, so that a wrong database is found first. A plan with
/// analytic costs names no database; then any database is accepted and a missing file is created.
std::optional<db::Database> OpenDatabase(const Plan& plan, const Flags& flags) {
  if (flags.db.empty()) return std::nullopt;
  const bool planned = !plan.database_hash.empty();
  db::Database database =
      db::Database::Open(flags.db, planned ? db::OpenMode::kReadWrite : db::OpenMode::kCreate);
  if (planned) {
    RequireSame("database", flags.db, plan.database_hash, database.MeasurementHash(), flags.force);
  }
  return database;
}

OpenOutputs CheckOutputPaths(const Plan& plan, const Workload& workload, const Flags& flags) {
  std::vector<InputPath> inputs = planner::MaskFilesOf(workload);
  inputs.push_back({"the plan", flags.plan});
  inputs.push_back({"the workload", flags.workload});
  for (const std::string& file : flags.kernels) {
    inputs.push_back({"--kernels", PluginPathOf(file)});
  }
  std::vector<OutputPath> outputs;
  if (!flags.db.empty()) outputs.push_back({"--db", flags.db, FileUse::kDatabase});
  if (!flags.trace.empty()) {
    for (const auto& file : TraceFiles(flags.trace, plan.ranks)) {
      outputs.push_back({"--trace", file, FileUse::kFile, true});
    }
  }
  return CheckOutputs(outputs, inputs);
}

/// Stores the ledger before the traces: it cannot be made again.
void Store(const Plan& plan,
           const ReplayRecord& record,
           const Provenance& machine,
           const Flags& flags,
           db::Database* database) {
  if (database != nullptr) {
    SayKept("the ledger is stored whole or not at all");
    database->AddPlan(PlanToJson(plan));
    database->AddReplay(database->AddEnvironment(machine), record);
    SayKept("the ledger is stored");
  }
  if (!flags.trace.empty()) WriteTraces(record, flags.trace);
}

/// Opens the GPU before plan and database are read, so that a missing one is found first.
void RequireDevice(const runtime::DeviceSpec& device, const std::string& flag) {
  if (device.kind == runtime::DeviceKind::kCpu) return;
  try {
    (void)runtime::OpenCudaDevice(device.index);
  } catch (const Error& error) {
    Fail(error.code(), "--device {}: unavailable: {}", flag, error.what());
  }
}

/// Adds the kernels of --kernels to the table. For a Python file, an interpreter takes over.
/// errors  Error{kInvalidArgument} on a GPU; those of UsePlugins
void UsePluginsOf(const Flags& flags,
                  const runtime::DeviceSpec& device,
                  int argc,
                  const char* const* argv) {
  if (flags.kernels.empty()) return;
  if (device.kind != runtime::DeviceKind::kCpu) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: plugins run on the CPU only in this version; leave out --device {}",
         flags.kernels.front(),
         flags.device);
  }
  for (const std::string& file : flags.kernels) {
    if (!IsPythonPlugin(file) || kernels::IsPluginUsed(file)) continue;
    kernels::RequirePluginFile(file);
    runtime::RunInPython("dbsp-replay-hosted.so", PluginPathOf(file), {argv, argv + argc});
  }
  kernels::UsePlugins(flags.kernels);
}

int RunReplay(const Flags& flags, int argc, const char* const* argv) {
  const runtime::DeviceSpec device = runtime::ParseDevice(flags.device);
  ReplayOptions options;
  options.transport = ParseTransport(flags.transport);
  options.cells = ParseCells(flags.cells);
  options.device = device;
  options.kernel = flags.kernel;
  options.graph = ParseGraphMode(flags.graph);
  options.sm_margin = flags.sm_margin;
  RequireDevice(device, flags.device);
  UsePluginsOf(flags, device, argc, argv);
  RequireTransport(options.transport, device);
  options.repeats = {.warmups = flags.warmup, .runs = flags.repeat};
  options.verify = flags.verify;
  options.limits = LimitsOf(device);
  if (flags.tolerance) options.limits.max_relative_error = *flags.tolerance;
  options.own_tolerance = flags.tolerance.has_value();
  options.limits.work_limit = flags.verify_work;
  options.seed = flags.seed;
  if (flags.cupti) options.cupti.emplace();
  options.progress = Progress;

  const Plan plan = ReadPlan(flags.plan);
  NoteUnhashedPlan(plan, flags.plan);
  RequireMemory(HomeBytes(plan.shape, DTypeOn(device)), AvailableMemory());
  planner::ValidatePlan(plan, flags.plan, ErrorCode::kCorruptInput);
  const Workload workload = WorkloadOf(plan, flags);
  const OpenOutputs open = CheckOutputPaths(plan, workload, flags);
  SayKept("nothing of this replay is stored");
  std::optional<db::Database> database = OpenDatabase(plan, flags);
  const auto masks = planner::OpenMasks(workload);
  const bool own_masks = HashOf(workload) == plan.workload_hash;
  CheckPredictions(plan, *masks, SelectCells(plan, options.cells), own_masks, flags.plan);
  const Provenance machine = runtime::CollectProvenance(device, argc, argv);
  if (const auto warning = runtime::WarningOf(machine)) Progress(*warning);
  const std::string skipped = kernels::gpu::SkippedKernelsNote();
  if (device.kind == runtime::DeviceKind::kCuda && !skipped.empty()) Progress(skipped);
  ReplayOutcome outcome = Replay(plan, *masks, options);
  outcome.record.device = machine.device_name;
  outcome.record.started_utc = machine.started_utc;

  Store(plan, outcome.record, machine, flags, database ? &*database : nullptr);
  if (flags.json) {
    WriteStdout(ReplayJson(plan, outcome, options, machine));
  } else {
    std::string text = database ? std::string() : LedgerText(outcome.record) + "\n";
    text += SummaryText(plan, outcome, options, machine);
    text += database ? fmt::format("stored      {}\n", flags.db)
                     : "stored      nowhere (--db stores the ledger)\n";
    WriteStdout(text);
  }
  if (outcome.record.passed) return 0;
  Fail(ErrorCode::kMeasurement, "verification failed: {}", FailureText(outcome));
}

}  // namespace

int ReplayMain(int argc, const char* const* argv) {
  CLI::App app("Runs a plan on this machine, verifies its outputs and compares times",
               "dbsp-replay");
  Flags flags;
  AddFlags(app, flags);
  return RunTool(app, argc, argv, [&] { return RunReplay(flags, argc, argv); });
}

}  // namespace dbsp::replay
