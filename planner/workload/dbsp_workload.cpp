// SPDX-License-Identifier: Apache-2.0
// dbsp-workload: makes workload files, describes them, and writes their masks.
#include <CLI/CLI.hpp>

#include "core/cli.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

constexpr std::int64_t kMaxCount = 1 << 20;
constexpr std::int64_t kMaxTokens = 1LL << 30;

CLI::App* AddMake(CLI::App& app, MakeFlags& flags) {
  CLI::App* make = app.add_subcommand("make", "Make a workload file from a model and a mask rule");
  const CLI::Range count(std::int64_t{1}, kMaxCount);
  make->option_defaults()->group("Model");
  make->add_option("--model", flags.model, "Model preset");
  make->add_option("--name", flags.name, "Name to store instead of the preset's");
  make->add_option("--layers", flags.layers, "Layers")->check(count);
  make->add_option("--heads", flags.heads, "Attention heads")->check(count);
  make->add_option("--head-dim", flags.head_dim, "Head dimension")->check(count);
  make->add_option("--steps", flags.steps, "Denoising steps")->check(count);
  make->add_option("--passes", flags.passes, "Guidance passes per step")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{2}));
  make->option_defaults()->group("Sequence");
  make->add_option("--grid", flags.grid, "Latent grid T,H,W in tokens");
  make->add_option("--tokens", flags.tokens, "Tokens of the whole sequence, text included")
      ->check(CLI::Range(std::int64_t{1}, kMaxTokens));
  make->add_option("--text-tokens", flags.text_tokens, "Text tokens after the video tokens")
      ->check(CLI::Range(std::int64_t{0}, kMaxTokens));
  make->option_defaults()->group("Masks");
  make->add_option("--mask", flags.mask, "Mask rule, RULE:option=value,...")->capture_default_str();
  make->add_option("--block", flags.block, "Block size QxK in tokens (default: the rule's)");
  make->option_defaults()->group("Output");
  make->add_option("-o,--output", flags.output, "Workload file to write")->required();
  make->footer(
      "Examples:\n"
      "  dbsp-workload make --model wan2.1-t2v-14b-720p --mask radial:decay=0.2 -o w.json\n"
      "  dbsp-workload make --heads 24 --tokens 32768 --mask array:file=masks.npz,name=mask -o "
      "w.json");
  return make;
}

CLI::App* AddExport(CLI::App& app, ExportFlags& flags) {
  CLI::App* command = app.add_subcommand("export", "Write the masks of one (step, layer)");
  const CLI::Range index(std::int64_t{0}, kMaxCount);
  command->add_option("workload", flags.workload, "Workload file")->required();
  command->add_option("--step", flags.step, "Denoising step, from 0")->required()->check(index);
  command->add_option("--layer", flags.layer, "Layer, from 0")->required()->check(index);
  command->add_option("-o,--output", flags.output, "File to write (.npz)")->required();
  return command;
}

int Run(int argc, const char* const* argv) {
  CLI::App app("Workloads: model shapes with their attention masks", "dbsp-workload");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  dbsp-workload info w.json\n"
      "  dbsp-workload export w.json --step 20 --layer 5 -o masks.npz");
  MakeFlags make_flags;
  CLI::App* make = AddMake(app, make_flags);
  CLI::App* info = app.add_subcommand("info", "Describe a workload file");
  std::filesystem::path workload;
  bool json = false;
  info->add_option("workload", workload, "Workload file")->required();
  info->add_flag("--json", json, "One JSON document instead of text");
  ExportFlags export_flags;
  CLI::App* export_command = AddExport(app, export_flags);
  return RunTool(app, argc, argv, [&] {
    if (make->parsed()) MakeWorkload(make_flags);
    if (info->parsed()) PrintWorkloadInfo(workload, json ? InfoFormat::kJson : InfoFormat::kText);
    if (export_command->parsed()) ExportMasks(export_flags);
    return 0;
  });
}

}  // namespace
}  // namespace dbsp::planner

int main(int argc, char** argv) { return dbsp::planner::Run(argc, argv); }
