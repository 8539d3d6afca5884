// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "core/cli.h"
#include "core/error.h"
#include "core/json.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "core/workload.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/workload_tool.h"

namespace dbsp::planner {
namespace {

constexpr double kTera = 1e12;

/// Density over the (step, layer, head) cells of one rule.
struct RuleSummary {
  std::int64_t cells = 0;
  double low = std::numeric_limits<double>::max();
  double high = 0;
  double sum = 0;  ///< over cells and heads
  std::set<std::string> keys;  ///< keys of cells; cells with equal keys share masks
  std::int64_t unkeyed = 0;  ///< cells without a key
};

struct Summary {
  std::vector<RuleSummary> rules;
  double active_blocks = 0;  ///< over all cells and heads, one pass
};

/// Visits every cell. Cells with equal keys are counted once and weighted.
Summary Summarise(const Workload& workload, MaskSource& source) {
  Summary summary;
  summary.rules.resize(workload.rules.size());
  const AttentionShape shape = workload.shape();
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks();
  std::map<std::string, std::vector<std::int64_t>> known;
  for (int step = 0; step < workload.model.steps; ++step) {
    for (int layer = 0; layer < workload.model.layers; ++layer) {
      const auto index =
          static_cast<std::size_t>(&workload.RuleAt(step, layer) - workload.rules.data());
      RuleSummary& rule = summary.rules[index];
      const std::string key = source.KeyAt(step, layer);
      std::vector<std::int64_t> counts;
      if (const auto found = known.find(key); !key.empty() && found != known.end()) {
        counts = found->second;
      } else {
        counts = source.ActiveBlocksAt(step, layer);
        if (!key.empty()) known[key] = counts;
      }
      ++rule.cells;
      if (key.empty()) {
        ++rule.unkeyed;
      } else {
        rule.keys.insert(key);
      }
      for (const std::int64_t count : counts) {
        const double density = static_cast<double>(count) / blocks;
        rule.low = std::min(rule.low, density);
        rule.high = std::max(rule.high, density);
        rule.sum += density;
        summary.active_blocks += static_cast<double>(count);
      }
    }
  }
  return summary;
}

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

Figures FiguresOf(const Workload& workload, const Summary& summary) {
  const AttentionShape shape = workload.shape();
  const BlockMask one_row(1, shape.k_blocks());
  const double cells = static_cast<double>(workload.model.steps) * workload.model.layers;
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks() * shape.heads;
  const double block_flops =
      AttentionFlops(static_cast<std::int64_t>(shape.block.q) * shape.block.k, shape.head_dim) *
      workload.model.passes;
  return {static_cast<std::int64_t>(shape.heads) * shape.q_blocks() * one_row.words_per_row() * 8,
          blocks * cells * block_flops,
          summary.active_blocks * block_flops,
          summary.active_blocks / (blocks * cells)};
}

Json RuleJson(const Workload& workload, const Summary& summary, std::size_t index) {
  const RuleSummary& rule = summary.rules[index];
  Json json = {{"rule", workload.rules[index].rule},
               {"options", Json::object()},
               {"cells", rule.cells},
               {"distinct_cells", static_cast<std::int64_t>(rule.keys.size()) + rule.unkeyed},
               {"blob_bytes", workload.rules[index].blob.size()},
               {"positions", PositionsAreReal(workload.rules[index]) ? "rule" : "synthetic"},
               {"density", nullptr}};
  for (const auto& [name, value] : workload.rules[index].options) json["options"][name] = value;
  if (rule.cells > 0) {
    json["density"] = {{"min", rule.low},
                       {"max", rule.high},
                       {"mean", rule.sum / static_cast<double>(rule.cells) / workload.model.heads}};
  }
  return json;
}

Json InfoJson(const Workload& workload, const Summary& summary) {
  const AttentionShape shape = workload.shape();
  const Figures figures = FiguresOf(workload, summary);
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
               {"mask_bytes_per_cell", figures.mask_bytes_per_cell},
               {"flops", figures.active_flops},
               {"dense_flops", figures.dense_flops},
               {"rules", Json::array()},
               {"assignments", Json::array()}};
  for (std::size_t i = 0; i < workload.rules.size(); ++i) {
    json["rules"].push_back(RuleJson(workload, summary, i));
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

std::string RulesText(const Workload& workload, const Summary& summary) {
  std::string text;
  for (std::size_t i = 0; i < workload.rules.size(); ++i) {
    const RuleSummary& rule = summary.rules[i];
    text += fmt::format("rule {}  {}\n", i, RuleText(workload.rules[i]));
    if (rule.cells == 0) {
      text += "        applies to no cell\n";
      continue;
    }
    text += fmt::format(
        "        {} cells, {} with masks of their own; density min {:.4f} mean {:.4f} max {:.4f}\n",
        rule.cells,
        static_cast<std::int64_t>(rule.keys.size()) + rule.unkeyed,
        rule.low,
        rule.sum / static_cast<double>(rule.cells) / workload.model.heads,
        rule.high);
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

}  // namespace

void PrintWorkloadInfo(const std::filesystem::path& path, InfoFormat format) {
  const Workload workload = ReadWorkload(path);
  const auto source = OpenMasks(workload);
  const Summary summary = Summarise(workload, *source);
  if (format == InfoFormat::kJson) {
    WriteStdout(DumpJson(InfoJson(workload, summary), 1) + "\n");
    return;
  }
  const Figures figures = FiguresOf(workload, summary);
  WriteStdout(fmt::format(
      "{}{}masks   {} bytes per (step, layer), bit-packed, made on demand\n"
      "flops   {:.3f} T of {:.3f} T dense ({:.4f}), all steps, layers and passes, blocks whole\n"
      "hash    {}\n",
      ShapeText(workload),
      RulesText(workload, summary),
      figures.mask_bytes_per_cell,
      figures.active_flops / kTera,
      figures.dense_flops / kTera,
      figures.density,
      HashOf(workload)));
}

}  // namespace dbsp::planner
