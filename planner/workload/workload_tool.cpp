// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/workload_tool.h"

#include <CLI/CLI.hpp>

#include "core/cli.h"

namespace dbsp::planner {
namespace {

constexpr std::int64_t kMaxCount = 1 << 20;
constexpr std::int64_t kMaxTokens = 1LL << 30;

CLI::App* AddMake(CLI::App& app, MakeFlags& flags) {
  CLI::App* make = app.add_subcommand("make", "Make a workload file from a model and a mask rule");
  AddModelFlags(*make, flags);
  const char* const masks = "Masks";
  make->add_option("--mask", flags.mask, "Mask rule, RULE:option=value,...")
      ->capture_default_str()
      ->group(masks);
  make->add_option("--block", flags.block, "Block size QxK in tokens (default: that of the rule)")
      ->group(masks);
  make->add_option("-o,--output", flags.output, "Workload file to write; - is standard output")
      ->required()
      ->group("Output");
  make->footer(
      "Examples:\n"
      "  dbsp-workload make --model wan2.1-t2v-14b-720p --mask radial:decay=0.2 -o w.json\n"
      "  dbsp-workload make --heads 12 --grid 21,30,52 --mask random:density=0.3 -o w.json\n"
      "  dbsp-workload make --heads 12 --grid 21,30,52 --mask fine:density=0.3,run=8 -o w.json");
  return make;
}

CLI::App* AddMerge(CLI::App& app, MergeFlags& flags) {
  CLI::App* merge =
      app.add_subcommand("merge", "Make a workload of what the ranks of a run recorded");
  merge->add_option("inputs", flags.inputs, "Folder of recordings or array files, or files")
      ->required()
      ->group("Input");
  merge->add_option("--prompt", flags.prompt, "Take the recordings of one prompt")->group("Input");
  merge->add_option("--pass", flags.pass, "Use the masks of one guidance pass for all")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1}))
      ->group("Input");
  merge
      ->add_option_function<std::string>(
          "--missing",
          [&flags](const std::string& word) { flags.missing_dense = word == "dense"; },
          "What a layer without any mask is: refused (default) or dense")
      ->check(CLI::IsMember({"refused", "dense"}))
      ->group("Input");
  AddModelFlags(*merge, flags.shape);
  merge->add_option("--block", flags.shape.block, "Block size QxK in tokens")
      ->group("Array files that are no recordings (they need the model too)");
  merge->add_option("--arrays", flags.arrays, "Options of the rule array, as lut=delta,name=mask")
      ->group("Array files that are no recordings (they need the model too)");
  merge
      ->add_option("-o,--output",
                   flags.output,
                   "Workload file to write; its masks are written beside it. With several prompts "
                   "their names are added")
      ->required()
      ->group("Output");
  merge->footer(
      "Examples:\n"
      "  dbsp-workload merge dump/ -o w.json\n"
      "  dbsp-workload merge dump/ --prompt p7 --missing dense -o w.json\n"
      "  dbsp-workload merge probes/ --model wan2.1-t2v-1.3b-480p --block 64x64 -o w.json");
  return merge;
}

CLI::App* AddInfo(CLI::App& app, std::filesystem::path& workload, bool& json) {
  CLI::App* info = app.add_subcommand("info", "Print the contents of a workload file");
  info->add_option("workload", workload, "Workload file")->required()->group("Input");
  info->add_flag("--json", json, "Print one JSON document instead of text")->group("Output");
  info->footer(
      "Examples:\n"
      "  dbsp-workload info w.json\n"
      "  dbsp-workload info w.json --json");
  return info;
}

CLI::App* AddExport(CLI::App& app, ExportFlags& flags) {
  CLI::App* command = app.add_subcommand(
      "export", "Write the masks of one (step, layer), or the active blocks of every head");
  const CLI::Range index(std::int64_t{0}, kMaxCount);
  command->add_option("workload", flags.workload, "Workload file")->required()->group("Input");
  command->add_option("--step", flags.step, "Denoising step, from 0")->check(index)->group("Input");
  command->add_option("--layer", flags.layer, "Layer, from 0")->check(index)->group("Input");
  command
      ->add_flag("--counts",
                 flags.counts,
                 "Active blocks [steps, layers, heads] instead of the masks of one cell")
      ->excludes("--step")
      ->excludes("--layer")
      ->group("Input");
  command
      ->add_option("--keys",
                   flags.keys,
                   "Write the lists of single keys of the cell: as bits, or as lists (offsets and "
                   "keys)")
      ->check(CLI::IsMember({"bits", "lists"}))
      ->excludes("--counts")
      ->group("Input");
  command
      ->add_flag("--classes",
                 flags.classes,
                 "Write the classes of SLA: 1 critical, 0 marginal, -1 negligible")
      ->excludes("--counts")
      ->excludes("--keys")
      ->group("Input");
  command->add_option("--pass", flags.pass, "Guidance pass, where each has masks of its own")
      ->check(index)
      ->group("Input");
  command
      ->add_option("-o,--output",
                   flags.output,
                   "File to write (.npz, .npy or .safetensors); - is standard output")
      ->required()
      ->group("Output");
  command->footer(
      "Examples:\n"
      "  dbsp-workload export w.json --step 0 --layer 0 -o mask.npz\n"
      "  dbsp-workload export w.json --step 0 --layer 0 --keys bits -o keys.npz\n"
      "  dbsp-workload export w.json --counts -o counts.npy");
  return command;
}

}  // namespace

void AddModelFlags(CLI::App& command, MakeFlags& flags) {
  const CLI::Range count(std::int64_t{1}, kMaxCount);
  const char* const model = "Model shape (a preset, single values, or both)";
  command.add_option("--model", flags.model, "Model preset")->group(model);
  command.add_option("--name", flags.name, "Name to store instead of the preset's name")
      ->group(model);
  command.add_option("--layers", flags.layers, "Number of layers")->check(count)->group(model);
  command.add_option("--heads", flags.heads, "Number of attention heads")
      ->check(count)
      ->group(model);
  command.add_option("--head-dim", flags.head_dim, "Head dimension")->check(count)->group(model);
  command.add_option("--grid", flags.grid, "Latent grid T,H,W in tokens")->group(model);
  command
      .add_option("--tokens", flags.tokens, "Tokens of the whole sequence, text tokens included")
      ->check(CLI::Range(std::int64_t{1}, kMaxTokens))
      ->group(model);
  command.add_option("--text-tokens", flags.text_tokens, "Text tokens after the video tokens")
      ->check(CLI::Range(std::int64_t{0}, kMaxTokens))
      ->group(model);
  command.add_option("--steps", flags.steps, "Number of denoising steps")
      ->check(count)
      ->group(model);
  command.add_option("--passes", flags.passes, "Guidance passes per step")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{2}))
      ->group(model);
}

int WorkloadMain(int argc, const char* const* argv, const std::vector<WorkloadCommand>& more) {
  CLI::App app(
      "Makes and inspects workload files: a model's shape with its attention masks.\n"
      "'dbsp-workload COMMAND --help' lists the options of a command.",
      "dbsp-workload");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  dbsp-workload make --model wan2.1-t2v-14b-720p --mask radial:decay=0.2 -o w.json\n"
      "  dbsp-workload info w.json\n"
      "  dbsp-workload list");
  MakeFlags make_flags;
  MergeFlags merge_flags;
  ExportFlags export_flags;
  std::filesystem::path info_workload;
  bool info_json = false;
  CLI::App* make = AddMake(app, make_flags);
  CLI::App* merge = AddMerge(app, merge_flags);
  CLI::App* info = AddInfo(app, info_workload, info_json);
  CLI::App* export_command = AddExport(app, export_flags);
  CLI::App* list = app.add_subcommand("list", "Print every model preset and mask rule");
  std::vector<CLI::App*> others;
  for (const WorkloadCommand& command : more) others.push_back(command.add(app));
  return RunTool(app, argc, argv, [&] {
    for (std::size_t i = 0; i < more.size(); ++i) {
      if (others[i]->parsed()) more[i].run();
    }
    if (make->parsed()) MakeWorkload(make_flags);
    if (merge->parsed()) MergeWorkload(merge_flags);
    if (info->parsed()) {
      PrintWorkloadInfo(info_workload, info_json ? InfoFormat::kJson : InfoFormat::kText);
    }
    if (export_command->parsed()) ExportMasks(export_flags);
    if (list->parsed()) PrintWorkloadList();
    return 0;
  });
}

}  // namespace dbsp::planner
