// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/json.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "core/workload.h"
#include "planner/workload/census.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

constexpr double kTera = 1e12;

std::string RuleText(const MaskRule& rule) {
  std::string text = rule.rule;
  for (const auto& [name, value] : rule.options) {
    if (value.empty()) continue;
    text += fmt::format("{}{}={}", text == rule.rule ? ":" : ",", name, value);
  }
  return TerminalLine(text);
}

std::string RangeText(const char* what, int begin, int end) {
  if (end - begin == 1) return fmt::format("{} {}", what, begin);
  return fmt::format("{}s {}-{}", what, begin, end - 1);
}

/// Sizes derived from the shape, for text and JSON alike.
struct Figures {
  std::int64_t mask_bytes_per_cell;
  double dense_flops;
  double active_flops;
  double density;
};

Figures FiguresOf(const Workload& workload, const Census& census) {
  const AttentionShape shape = workload.shape();
  const BlockMask one_row(1, shape.k_blocks());
  const double cells = static_cast<double>(workload.model.steps) * workload.model.layers;
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks() * shape.heads;
  const double block_flops =
      AttentionFlops(static_cast<std::int64_t>(shape.block.q) * shape.block.k, shape.head_dim) *
      workload.model.passes;
  return {static_cast<std::int64_t>(shape.heads) * shape.q_blocks() * one_row.words_per_row() * 8,
          blocks * cells * block_flops,
          census.active_blocks * block_flops,
          census.active_blocks / (blocks * cells)};
}

Json DensityJson(const DensityRange& density) {
  if (density.masks == 0) return nullptr;
  return {{"min", density.low}, {"mean", density.mean()}, {"max", density.high}};
}

Json FineJson(const Workload& workload, const RuleCensus& rule) {
  const AttentionShape shape = workload.shape();
  const std::int64_t lists = (shape.tokens + rule.queries - 1) / rule.queries;
  return {{"queries", rule.queries},
          {"kept_keys", rule.fine.key_share()},
          {"kept_blocks_64", rule.fine.share64()},
          {"kept_blocks_128", rule.fine.share128()},
          {"longest_list", rule.fine.longest},
          {"bytes_per_cell", shape.heads * lists * ((shape.tokens + 63) / 64) * 8}};
}

Json RuleJson(const Workload& workload, const Census& census, std::size_t index) {
  const RuleCensus& rule = census.rules[index];
  Json json = {{"rule", workload.rules[index].rule},
               {"options", Json::object()},
               {"cells", rule.cells},
               {"distinct_cells", rule.distinct_cells},
               {"dense_cells", rule.dense_cells},
               {"blob_bytes", workload.rules[index].blob.size()},
               {"positions", PositionsAreReal(workload.rules[index]) ? "rule" : "synthetic"},
               {"density", DensityJson(rule.density)},
               {"notes", rule.notes}};
  if (rule.queries > 0) json["fine"] = FineJson(workload, rule);
  if (rule.sla) json["marginal_density"] = DensityJson(rule.marginal);
  for (const auto& [name, value] : workload.rules[index].options) json["options"][name] = value;
  return json;
}

Json InfoJson(const Workload& workload, const Census& census) {
  const AttentionShape shape = workload.shape();
  const Figures figures = FiguresOf(workload, census);
  const ModelShape& model = workload.model;
  Json json = {{"schema", "dbsp.workload_info/1"},
               {"hash", HashOf(workload)},
               {"model",
                {{"name", model.name},
                 {"layers", model.layers},
                 {"heads", model.heads},
                 {"head_dim", model.head_dim},
                 {"grid", {model.grid.frames, model.grid.height, model.grid.width}},
                 {"text_tokens", model.text_tokens},
                 {"tokens", model.tokens()},
                 {"steps", model.steps},
                 {"passes", model.passes}}},
               {"block", {workload.block.q, workload.block.k}},
               {"blocks", {shape.q_blocks(), shape.k_blocks()}},
               {"cells", static_cast<std::int64_t>(model.steps) * model.layers},
               {"density", figures.density},
               {"dense_cells", census.dense_cells},
               {"dense_cells_text", DenseCellsText(workload, census)},
               {"mask_bytes_per_cell", figures.mask_bytes_per_cell},
               {"flops", figures.active_flops},
               {"dense_flops", figures.dense_flops},
               {"rules", Json::array()},
               {"layers", Json::array()},
               {"assignments", Json::array()}};
  for (const LayerCensus& layer : census.layers) {
    json["layers"].push_back(
        {{"dense_cells", layer.dense_cells}, {"density", DensityJson(layer.density)}});
  }
  for (std::size_t i = 0; i < workload.rules.size(); ++i) {
    json["rules"].push_back(RuleJson(workload, census, i));
  }
  for (const MaskAssignment& a : workload.assignments) {
    json["assignments"].push_back({{"rule", a.rule},
                                   {"steps", {a.step_begin, a.step_end}},
                                   {"layers", {a.layer_begin, a.layer_end}}});
  }
  return json;
}

std::string ShapeText(const Workload& workload) {
  const ModelShape& model = workload.model;
  const AttentionShape shape = workload.shape();
  return fmt::format(
      "model   {}: {} layers x {} steps x {} passes, {} heads x {}\n"
      "tokens  {} = {} x {} x {} video + {} text\n"
      "blocks  {} x {} of {}x{} tokens\n",
      TerminalLine(model.name),
      model.layers,
      model.steps,
      model.passes,
      model.heads,
      model.head_dim,
      model.tokens(),
      model.grid.frames,
      model.grid.height,
      model.grid.width,
      model.text_tokens,
      shape.q_blocks(),
      shape.k_blocks(),
      shape.block.q,
      shape.block.k);
}

std::string RulesText(const Workload& workload, const Census& census) {
  std::string text;
  for (std::size_t i = 0; i < workload.rules.size(); ++i) {
    const RuleCensus& rule = census.rules[i];
    text += fmt::format("rule {}  {}\n", i, RuleText(workload.rules[i]));
    for (const std::string& note : rule.notes) text += fmt::format("        {}\n", note);
    if (rule.cells == 0) {
      text += "        applies to no cell\n";
      continue;
    }
    text += fmt::format(
        "        {} cells, {} with masks of their own; density min {:.4f} mean {:.4f} max {:.4f}\n",
        rule.cells,
        rule.distinct_cells,
        rule.density.low,
        rule.density.mean(),
        rule.density.high);
    if (rule.queries > 0) text += fmt::format("        {}\n", FineText(rule));
    if (rule.sla) text += fmt::format("        {}\n", SlaText(rule));
    if (!PositionsAreReal(workload.rules[i])) {
      text +=
          "        the counts of active blocks come from the rule or the file, block positions "
          "from "
          "a seed\n";
    }
  }
  text += "where   the last line that matches a (step, layer) applies\n";
  for (const MaskAssignment& a : workload.assignments) {
    text += fmt::format("        rule {}: {}, {}\n",
                        a.rule,
                        RangeText("step", a.step_begin, a.step_end),
                        RangeText("layer", a.layer_begin, a.layer_end));
  }
  return text;
}

/// One line per range of layers with equal numbers.
std::string LayersText(const Census& census) {
  std::string text;
  const auto line = [&](const LayerCensus& layer) {
    return fmt::format("{:.4f}   {:.4f}   {:.4f}   {}",
                       layer.density.low,
                       layer.density.mean(),
                       layer.density.high,
                       layer.dense_cells);
  };
  const auto count = static_cast<int>(census.layers.size());
  for (int begin = 0; begin < count;) {
    const std::string numbers = line(census.layers[begin]);
    int end = begin + 1;
    while (end < count && line(census.layers[end]) == numbers) ++end;
    text += fmt::format("{:8}{:16}{}\n", "", RangeText("layer", begin, end), numbers);
    begin = end;
  }
  return fmt::format("layers  {:16}{}\n", "", "min      mean     max      dense cells") + text;
}

}  // namespace

void PrintWorkloadInfo(const std::filesystem::path& path, InfoFormat format) {
  const Workload workload = ReadWorkload(path);
  const Census census = TakeCensus(workload);
  if (format == InfoFormat::kJson) {
    WriteStdout(DumpJson(InfoJson(workload, census), 1) + "\n");
    return;
  }
  const Figures figures = FiguresOf(workload, census);
  WriteStdout(fmt::format(
      "{}{}{}dense   {}\n"
      "masks   {} bytes per (step, layer), bit-packed, made on demand\n"
      "flops   {:.3f} T of {:.3f} T dense ({:.4f}), all steps, layers and passes, blocks whole\n"
      "hash    {}\n",
      ShapeText(workload),
      RulesText(workload, census),
      LayersText(census),
      DenseCellsText(workload, census),
      figures.mask_bytes_per_cell,
      figures.active_flops / kTera,
      figures.dense_flops / kTera,
      figures.density,
      HashOf(workload)));
}

}  // namespace dbsp::planner
