// SPDX-License-Identifier: Apache-2.0
#include "profiler/profile_options.h"

#include <CLI/CLI.hpp>
#include <bit>

#include "core/error.h"
#include "db/database.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {
namespace {

constexpr const char* kExamples = R"(Examples:
  Measure the shapes of a workload on this CPU for one minute:
    dbsp-profile --db p.db --workload w.json --ranks 8 --budget 60s
  Measure exchanges between 8 GPUs of this host, with one process per GPU:
    dbsp-profile --db p.db --device cuda --suite collectives --processes --ranks 8)";

void AddWhatToMeasure(CLI::App& app, ProfileOptions& options) {
  const std::string group = "What to measure";
  app.add_option("--device", options.device, "cpu, cuda or cuda:N")
      ->capture_default_str()
      ->group(group);
  app.add_option("--suite", options.suite, "quick, full, gather, collectives or overlap")
      ->capture_default_str()
      ->group(group);
  app.add_option("--workload", options.workload, "Measure this workload's shapes first")
      ->group(group);
  app.add_option("--refine", options.refine, "Measure only what this plan's strategies use")
      ->group(group);
  app.add_option_function<int>(
         "--ranks",
         [&options](const int& ranks) {
           options.ranks = ranks;
           options.ranks_given = true;
         },
         "Most ranks in an exchange; a plan has its own number")
      ->default_str(std::to_string(options.ranks))
      ->group(group);
  app.add_option("--kernel", options.kernel, "Only attention kernels with this text in their names")
      ->group(group);
  app.add_option("--kernels",
                 options.kernels,
                 "On a CPU: also measure the kernels of this plugin (lib.so, docs/plugins.md)")
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->group(group);
  app.add_option("--seed", options.seed, "Seed of block lists and values")
      ->capture_default_str()
      ->group(group);
  app.add_flag("--counters",
               options.counters,
               "On a GPU: also read hardware counters of attention, in a separate pass")
      ->group(group);
  app.add_flag("--tune-kernels",
               options.tune_kernels,
               "Choose a kernel for every attention shape of the suite; each trial runs in a "
               "process of its own")
      ->group(group);
}

void AddRunFlags(CLI::App& app, ProfileOptions& options) {
  const std::string group = "Run and output";
  app.add_option("--db", options.db, "Database file; created when absent")
      ->each(db::Database::CheckPath)
      ->group(group);
  app.add_option("--budget",
                 options.budget,
                 "Time to spend: 500ms, 60s, 5m (default 60s; on a GPU quick 150s, full 840s, "
                 "overlap 300s)")
      ->group(group);
  app.add_flag("--resume,!--no-resume",
               options.resume,
               "Do not repeat trials that the database has (default)")
      ->group(group);
  app.add_flag("--dry-run", options.dry_run, "Show what would be measured; write nothing")
      ->group(group);
  app.add_flag("--list", options.list, "List the suite; needs no database")->group(group);
  app.add_flag("--json", options.json, "Write one JSON document to stdout")->group(group);
}

void AddCollectivesFlags(CLI::App& app, ProfileOptions& options) {
  const std::string group = "Suite collectives";
  app.add_option("-b,--min-bytes", options.min_bytes, "First size: 32K, 8M")
      ->capture_default_str()
      ->group(group);
  app.add_option("-e,--max-bytes", options.max_bytes, "Last size")
      ->capture_default_str()
      ->group(group);
  app.add_option("-f,--step-factor", options.step_factor, "Factor between successive sizes")
      ->check(CLI::Range(1.001, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--exchange-clock",
                 options.exchange_clock,
                 "What times exchanges between GPUs: events of the devices (device), or the host's "
                 "clock with its enqueueing (host)")
      ->check(CLI::IsMember({"device", "host"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--nccl-ctas",
                 options.nccl_ctas,
                 "Most SMs that NCCL may use: 1, 2, 4, ... 64; 0 lets NCCL choose")
      ->check(CLI::Range(0, runtime::kMostNcclCtas))
      ->group(group);
}

}  // namespace

void AddProfileFlags(CLI::App& app, ProfileOptions& options) {
  AddWhatToMeasure(app, options);
  AddRunFlags(app, options);
  AddCollectivesFlags(app, options);
  AddRankFlags(app, options.rank_flags);
  app.footer(kExamples);
}

bool IsExchangeSuite(const std::string& suite) {
  return suite == "collectives" || suite == "overlap";
}

std::string BudgetOf(const ProfileOptions& options, const runtime::DeviceSpec& device) {
  if (options.budget) return *options.budget;
  if (device.kind == runtime::DeviceKind::kCpu || options.suite == "collectives") return "60s";
  if (options.suite == "overlap") return "300s";
  return options.suite == "full" ? "840s" : "150s";  // docs/profiling.md
}

std::string SuiteName(const ProfileOptions& options) {
  return options.refine ? "refine" : options.suite;
}

bool MeasuresGpuExchanges(const ProfileOptions& options, const runtime::DeviceSpec& device) {
  const bool exchanges =
      device.kind == runtime::DeviceKind::kCuda && IsExchangeSuite(options.suite);
  if (exchanges && device.index != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--device {}: --suite {} uses devices 0 to --ranks - 1; give --device cuda",
         options.device,
         options.suite);
  }
  if (options.nccl_ctas != 0 && !runtime::IsNcclCtas(options.nccl_ctas)) {
    Fail(ErrorCode::kInvalidArgument,
         "--nccl-ctas {}: NCCL takes powers of two only; give {} or {}",
         options.nccl_ctas,
         std::bit_floor(static_cast<unsigned>(options.nccl_ctas)),
         std::bit_ceil(static_cast<unsigned>(options.nccl_ctas)));
  }
  if (options.suite == "overlap" && options.nccl_ctas != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "--nccl-ctas {}: --suite overlap limits NCCL by its own SM margins; leave out --nccl-ctas",
         options.nccl_ctas);
  }
  if (options.exchange_clock == "host" && (!exchanges || options.suite == "overlap")) {
    Fail(ErrorCode::kInvalidArgument,
         "--exchange-clock host: only --suite collectives between GPUs can be timed by the host; "
         "leave it out");
  }
  if (options.suite == "overlap" && options.rank_flags.check) {
    Fail(ErrorCode::kInvalidArgument,
         "--check and --one-gpu check the exchanges of --suite collectives; --suite overlap checks "
         "its values in every measurement");
  }
  return exchanges;
}

}  // namespace dbsp::profiler
