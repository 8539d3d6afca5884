// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "core/cli.h"
#include "tuner/tune_tool.h"

int main(int argc, char** argv) {
  dbsp::tuner::TuneFlags flags;
  CLI::App app("Chooses for every (step, layer) of a workload how to split attention over ranks.",
               "dbsp-tune");
  app.add_option("--workload", flags.workload, "Workload file of dbsp-workload")->required();
  app.add_option("--db", flags.database, "Database of dbsp-profile: costs from measurements");
  app.add_option("--db-device", flags.device, "Device whose trials count: kind, name or UUID");
  app.add_option(
      "--cluster",
      flags.cluster,
      "Analytic costs of h200xN, h100xN or a100xN, N <= 8; beside --db its exchanges only");
  app.add_option("--ranks", flags.ranks, "Ranks to plan for (default: the cluster's GPUs)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--ranks-per-node",
                 flags.ranks_per_node,
                 "With --db: exchanges cost what was measured on as many hosts (default: on the "
                 "fewest measured)")
      ->check(CLI::Range(1, 4096));
  app.add_option("-o,--output", flags.output, "Plan file to write (.json or .json.zst)");
  app.add_option(
         "--families", flags.families, "auto (all), or of ulysses,ring,usp,dbsp,balanced,placed")
      ->capture_default_str();
  app.add_option(
         "--cfg-degrees",
         flags.cfg_degrees,
         "Guidance passes at the same time, each on as many parts of the ranks: auto (1 and, "
         "where the model has 2 passes and the ranks are even, 2), or 1, 2 or 1,2")
      ->capture_default_str();
  app.add_option("--steps", flags.steps, "Only these steps, A-B, both ends included");
  app.add_option("--layers", flags.layers, "Only these layers, A-B, both ends included");
  app.add_option("--kernel", flags.kernel, "Attention kernel (default: the fastest measured)");
  app.add_option("--chunks",
                 flags.chunks,
                 "Head chunks to try: the exchange of one runs under the attention of another")
      ->capture_default_str();
  app.add_option("--layout",
                 flags.layout,
                 "Static order of tokens that plans may use: given, strided:N, zigzag:N, or auto: "
                 "the one that suits the masks, where it helps")
      ->capture_default_str();
  app.add_option("--dbsp-reward", flags.dbsp_reward, "Reward Rb of the dbsp family")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--memory-per-rank",
                 flags.memory_per_rank,
                 "Bytes of Q, K, V and O that a rank may hold in a layer's attention; candidates "
                 "that need more are excluded (8G, 500M, or a number)")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::PositiveNumber);
  app.add_option("--contract-tolerance",
                 flags.contract_tolerance,
                 "Part that imbalance may grow by, on other masks, before a cell's plan is void")
      ->check(CLI::Range(0.0, 1e3))
      ->capture_default_str();
  app.add_option(
         "--replan-us",
         flags.replan_us,
         "What a new plan costs a run, microseconds: a layer keeps its plan over steps until "
         "it has lost as much (0: plans are made ahead, each step has its own)")
      ->check(CLI::Range(0.0, 1e12))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "Threads of the search (default: one per core)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--compare", flags.compare, "Print every candidate");
  app.add_flag("--json", flags.json, "Print one JSON document instead of the table");
  app.add_flag("--cells", flags.cells, "With --compare or --json: one entry per (step, layer) too");
  app.add_flag("--force",
               flags.force,
               "Scale costs from another block size or rank count where none is measured");
  return dbsp::RunTool(app, argc, argv, [&] { return dbsp::tuner::RunTune(flags); });
}
