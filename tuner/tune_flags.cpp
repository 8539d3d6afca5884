// SPDX-License-Identifier: Apache-2.0
#include "tuner/tune_flags.h"

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/output.h"
#include "db/database.h"
#include "tuner/cluster_costs.h"
#include "tuner/search_space.h"

namespace dbsp::tuner {
namespace {

void AddInputFlags(CLI::App& app, TuneFlags& flags) {
  const char* const group = "Input and output";
  app.add_option("--workload", flags.workload, "Workload file of dbsp-workload")
      ->required()
      ->group(group);
  app.add_option("-o,--output",
                 flags.output,
                 "Plan file to write (.json or .json.zst); - is standard output")
      ->group(group);
  app.add_flag("--compare", flags.compare, "Print every candidate")->group(group);
  app.add_flag("--json", flags.json, "Print one JSON document instead of the table")->group(group);
  app.add_flag(
         "--cells", flags.cells, "With --compare or --json: also print one entry per (step, layer)")
      ->group(group);
}

void AddCostFlags(CLI::App& app, TuneFlags& flags) {
  const char* const group = "Costs and ranks";
  app.add_option("--db", flags.database, "Database of dbsp-profile, for measured costs")
      ->each(db::Database::CheckPath)
      ->group(group);
  app.add_option("--db-device",
                 flags.device,
                 "Device whose trials are used: kind, name or UUID (default: the last measured)")
      ->group(group);
  app.add_option("--cluster",
                 flags.cluster,
                 "Analytic costs of published figures, NAMExGPUS or NAMExNODESxGPUS: h200, h100, "
                 "h800, h20, a100, a800, b200, gb200, or file:PATH.json; with --db its exchanges "
                 "only")
      ->group(group);
  app.add_flag_callback(
         "--list-clusters",
         [] {
           WriteStdout(std::string(BuiltInClusterText()));
           throw CLI::Success();
         },
         "Print the built-in clusters with a source per figure, as a file for --cluster file:, and "
         "end")
      ->trigger_on_parse()
      ->group(group);
  app.add_option("--ranks", flags.ranks, "Ranks to plan for (default: the cluster's GPUs)")
      ->check(CLI::Range(1, 4096))
      ->group(group);
  app.add_option("--ranks-per-node",
                 flags.ranks_per_node,
                 "With --db: price exchanges as measured on this many ranks per host (default: on "
                 "the fewest hosts measured)")
      ->check(CLI::Range(1, 4096))
      ->group(group);
  app.add_option("--kernel", flags.kernel, "Attention kernel (default: the fastest measured)")
      ->group(group);
  app.add_option(
         "--kernels",
         flags.kernels,
         "With --db: only kernels of this plugin (lib.so, docs/plugins.md), as measured with "
         "this very file")
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--force",
               flags.force,
               "Scale costs from another block size or rank count where none is measured")
      ->group(group);
}

void AddSearchFlags(CLI::App& app, TuneFlags& flags) {
  const char* const group = "Search space";
  app.add_option("--families",
                 flags.families,
                 "auto (all), or a list of ulysses,ring,usp,dbsp,balanced,placed")
      ->capture_default_str()
      ->group(group);
  CLI::Option* cfg_degrees =
      app.add_option(
             "--cfg-degrees",
             flags.cfg_degrees,
             "Guidance passes that run at the same time, each on an equal part of the ranks: "
             "auto, or a list such as 1,2")
          ->capture_default_str()
          ->group(group);
  CLI::Option* chunks =
      app.add_option("--chunks",
                     flags.chunks,
                     "Numbers of head chunks to try; the exchange of one chunk overlaps with the "
                     "attention of another")
          ->capture_default_str()
          ->group(group);
  CLI::Option* layout =
      app.add_option(
             "--layout",
             flags.layout,
             "Static token order that plans may use: given, strided:N, zigzag:N, or auto (the "
             "best for the masks, if it helps)")
          ->capture_default_str()
          ->group(group);
  app.add_flag("--plain",
               flags.plain,
               "Only plain strategies: one pass after the other, the given token order, one chunk, "
               "the family's own exchange; with --families ulysses or ring a baseline to replay")
      ->excludes(cfg_degrees)
      ->excludes(chunks)
      ->excludes(layout)
      ->group(group);
  app.add_option("--steps", flags.steps, "Only these steps, A-B, both ends included")->group(group);
  app.add_option("--layers", flags.layers, "Only these layers, A-B, both ends included")
      ->group(group);
  app.add_option("--dbsp-reward", flags.dbsp_reward, "Reward Rb of the dbsp family")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str()
      ->group(group);
  app.add_option("--memory-per-rank",
                 flags.memory_per_rank,
                 "Maximum bytes of Q, K, V and O per rank in a layer's attention (8G, 500M, or a "
                 "number); candidates that need more are excluded")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::PositiveNumber)
      ->group(group);
  app.add_option("--threads", flags.threads, "Threads of the search (default: one per core)")
      ->check(CLI::Range(1, 1024))
      ->group(group);
}

void AddReuseFlags(CLI::App& app, TuneFlags& flags) {
  const char* const group = "Changing masks";
  app.add_option("--contract-tolerance",
                 flags.contract_tolerance,
                 "Relative growth of the imbalance on other masks up to which a cell's plan holds")
      ->check(CLI::Range(0.0, 1e3))
      ->capture_default_str()
      ->group(group);
  app.add_option("--replan-us",
                 flags.replan_us,
                 "Microseconds that a run needs to make a new plan; a layer keeps its plan over "
                 "steps until the plan has lost that much (0: every step has its own plan)")
      ->check(CLI::Range(0.0, 1e12))
      ->capture_default_str()
      ->group(group);
}

void AddVideoFlags(CLI::App& app, TuneFlags& flags) {
  const char* const group = "Whole video";
  app.add_option("--rest-ms",
                 flags.rest_ms,
                 "Milliseconds of a step without attention, all passes, on these ranks (default: "
                 "estimated from the model's shapes)")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group);
  app.add_option(
         "--once-ms", flags.once_ms, "Milliseconds once per video, as of text encoder and decoder")
      ->check(CLI::Range(0.0, 1e9))
      ->group(group);
  app.add_option("--skip-steps",
                 flags.skip_steps,
                 "Cached steps, which run no layer, such as 3,7-9; only for the whole video's time")
      ->group(group);
}

}  // namespace

void AddTuneFlags(CLI::App& app, TuneFlags& flags) {
  AddInputFlags(app, flags);
  AddCostFlags(app, flags);
  AddSearchFlags(app, flags);
  AddReuseFlags(app, flags);
  AddVideoFlags(app, flags);
}

void RequireSensible(const TuneFlags& flags) {
  if (flags.database.empty() && flags.cluster.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "no cost model: give --db FILE for measured costs, --cluster NAME for analytic costs, or "
         "both for a measured machine with the exchanges of a cluster");
  }
  if (flags.database.empty() && !flags.kernels.empty()) {
    Fail(ErrorCode::kInvalidArgument,
         "--kernels {}: --cluster has no measurement of a plugin's kernels; give --db FILE",
         flags.kernels.front());
  }
  if (flags.output.empty() && !flags.compare && !flags.json) {
    Fail(ErrorCode::kInvalidArgument, "no output: give -o PLAN, --compare or both");
  }
  if (!flags.cluster.empty() && flags.ranks_per_node > 0) {
    Fail(
        ErrorCode::kInvalidArgument,
        "--ranks-per-node {}: exchanges are those of --cluster {}, which says how many GPUs a node "
        "has; give NAMExNODESx{} instead",
        flags.ranks_per_node,
        flags.cluster,
        flags.ranks_per_node);
  }
  if (flags.cluster.empty() && flags.ranks == 0) {
    Fail(ErrorCode::kInvalidArgument, "--ranks is required with --db");
  }
  if (!flags.output.empty() && IsStandardOutput(flags.output) && (flags.compare || flags.json)) {
    Fail(ErrorCode::kInvalidArgument,
         "-o {}: the plan and the output of --{} would both go to standard output; give the plan a "
         "file",
         flags.output.string(),
         flags.json ? "json" : "compare");
  }
}

}  // namespace dbsp::tuner
