// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/census.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/workload_cells.h"
#include "planner/workload/mask_source.h"

namespace dbsp::planner {
namespace {

std::string RangeText(const char* what, int begin, int end, int all) {
  if (begin == 0 && end == all) return fmt::format("all {}s", what);
  if (end - begin == 1) return fmt::format("{} {}", what, begin);
  return fmt::format("{}s {} to {}", what, begin, end - 1);
}

/// Densities and dense cells of one (step, layer).
struct CellCensus {
  DensityRange density;
  double active_blocks = 0;
  FineCounts fine;  ///< all 0 without lists of keys
  DensityRange marginal;  ///< without masks unless the cell has classes of SLA
};

CellCensus CensusOfCell(const std::vector<std::int64_t>& counts, double blocks) {
  CellCensus cell;
  for (const std::int64_t count : counts) {
    cell.density.Add(static_cast<double>(count) / blocks);
    cell.active_blocks += static_cast<double>(count);
  }
  return cell;
}

void Merge(const DensityRange& from, DensityRange& into) {
  if (from.masks == 0) return;
  into.low = into.masks == 0 ? from.low : std::min(into.low, from.low);
  into.high = std::max(into.high, from.high);
  into.sum += from.sum;
  into.masks += from.masks;
}

bool MakesSparseMasks(const Workload& workload) {
  return std::any_of(workload.rules.begin(), workload.rules.end(), [](const MaskRule& rule) {
    return rule.rule != "dense";
  });
}

std::string LayersText(const Census& census) {
  const auto [low, high] = std::minmax_element(
      census.layers.begin(), census.layers.end(), [](const LayerCensus& a, const LayerCensus& b) {
        return a.density.mean() < b.density.mean();
      });
  if (low->density.mean() == high->density.mean()) return "every layer has this mean";
  return fmt::format("the mean of a layer is from {:.4f} (layer {}) to {:.4f} (layer {})",
                     low->density.mean(),
                     low - census.layers.begin(),
                     high->density.mean(),
                     high - census.layers.begin());
}

}  // namespace

void DensityRange::Add(double density) {
  low = masks == 0 ? density : std::min(low, density);
  high = std::max(high, density);
  sum += density;
  ++masks;
}

Census TakeCensus(const Workload& workload) {
  Census census;
  census.rules.resize(workload.rules.size());
  census.layers.resize(workload.model.layers);
  const AttentionShape shape = workload.shape();
  const double blocks = static_cast<double>(shape.q_blocks()) * shape.k_blocks();
  const std::vector<int> rule_of = RuleIndices(workload.model, workload.assignments);
  std::vector<char> dense(rule_of.size(), 1);  // in every pass
  const int passes = PassesDiffer(workload) ? workload.model.passes : 1;
  for (int pass = 0; pass < passes; ++pass) {
    const auto source = OpenMasks(workload, passes > 1 ? std::optional(pass) : std::nullopt);
    std::unordered_map<std::string, CellCensus> known;  // by key
    std::size_t at = 0;
    for (int step = 0; step < workload.model.steps; ++step) {
      for (int layer = 0; layer < workload.model.layers; ++layer, ++at) {
        RuleCensus& rule = census.rules.at(rule_of[at]);
        const std::string key = source->KeyAt(step, layer);
        const auto found = key.empty() ? known.end() : known.find(key);
        const bool counted = found != known.end();
        CellCensus cell =
            counted ? found->second : CensusOfCell(source->ActiveBlocksAt(step, layer), blocks);
        rule.queries = source->FineQueriesAt(step, layer);
        if (!counted && rule.queries > 0) cell.fine = source->FineCountsAt(step, layer);
        rule.sla = source->HasMarginalAt(step, layer);
        if (!counted && rule.sla) {
          for (const BlockMaskPtr& mask : source->MarginalAt(step, layer).head) {
            cell.marginal.Add(mask->Density());
          }
        }
        if (!counted && !key.empty()) known.emplace(key, cell);
        if (cell.density.low < 1 || cell.fine.keys < cell.fine.all_keys) dense[at] = 0;
        rule.fine.Add(cell.fine);
        Merge(cell.marginal, rule.marginal);
        rule.cells += pass == 0 ? 1 : 0;
        rule.distinct_cells += counted ? 0 : 1;
        Merge(cell.density, rule.density);
        Merge(cell.density, census.layers[layer].density);
        Merge(cell.density, census.density);
        census.active_blocks += cell.active_blocks / passes;
      }
    }
    if (pass > 0) continue;
    for (std::size_t i = 0; i < census.rules.size(); ++i) {
      census.rules[i].notes = source->Describe(i);
    }
  }
  for (std::size_t at = 0; at < dense.size(); ++at) {
    census.rules[rule_of[at]].dense_cells += dense[at];
    census.layers[at % census.layers.size()].dense_cells += dense[at];
    census.dense_cells += dense[at];
  }
  return census;
}

std::string FineText(const RuleCensus& rule) {
  return fmt::format(
      "lists of keys per {} queries keep {:.4f} of all pairs; 64x64 blocks around them keep "
      "{:.4f}, "
      "128x128 blocks {:.4f}; the longest list has {} keys",
      rule.queries,
      rule.fine.key_share(),
      rule.fine.share64(),
      rule.fine.share128(),
      rule.fine.longest);
}

std::string SlaText(const RuleCensus& rule) {
  return fmt::format(
      "SLA: {:.4f} of the blocks are critical, {:.4f} marginal and {:.4f} negligible",
      rule.density.mean(),
      rule.marginal.mean(),
      std::max(0.0, 1 - rule.density.mean() - rule.marginal.mean()));
}

std::string DenseCellsText(const Workload& workload, const Census& census) {
  const ModelShape& model = workload.model;
  std::string reasons;
  const auto add = [&](const std::string& reason) {
    reasons += (reasons.empty() ? ": " : "; ") + reason;
  };
  for (const MaskAssignment& a : workload.assignments) {
    if (workload.rules[a.rule].rule != "dense") continue;
    const bool steps = !(a.step_begin == 0 && a.step_end == model.steps);
    const bool layers = !(a.layer_begin == 0 && a.layer_end == model.layers);
    const std::string step_text = RangeText("step", a.step_begin, a.step_end, model.steps);
    const std::string layer_text = RangeText("layer", a.layer_begin, a.layer_end, model.layers);
    add(steps && layers ? step_text + " of " + layer_text : layers ? layer_text : step_text);
  }
  for (std::size_t i = 0; i < census.rules.size(); ++i) {
    const RuleCensus& rule = census.rules[i];
    if (rule.dense_cells == 0 || workload.rules[i].rule == "dense") continue;
    add(fmt::format(
        "{} whose {} masks have every block", rule.dense_cells, workload.rules[i].rule));
  }
  return fmt::format("{} of {} cells are dense{}",
                     census.dense_cells,
                     static_cast<std::int64_t>(model.steps) * model.layers,
                     census.dense_cells == 0 ? "" : reasons);
}

std::vector<std::string> CensusLines(const Workload& workload, const Census& census) {
  std::vector<std::string> lines;
  for (const RuleCensus& rule : census.rules) {
    for (const std::string& note : rule.notes) lines.push_back("note: " + note);
    if (rule.queries > 0) lines.push_back("note: " + FineText(rule));
    if (rule.sla) lines.push_back("note: " + SlaText(rule));
  }
  lines.push_back(fmt::format("note: density min {:.4f}, mean {:.4f}, max {:.4f} over {} masks; {}",
                              census.density.low,
                              census.density.mean(),
                              census.density.high,
                              census.density.masks,
                              LayersText(census)));
  const bool all =
      census.dense_cells == static_cast<std::int64_t>(workload.model.steps) * workload.model.layers;
  lines.push_back(fmt::format("{}: {}{}",
                              all && MakesSparseMasks(workload) ? "warning" : "note",
                              DenseCellsText(workload, census),
                              all && MakesSparseMasks(workload)
                                  ? "; no mask is sparse; dense_steps= and dense_layers= set how "
                                    "many first steps and layers are dense"
                                  : ""));
  return lines;
}

}  // namespace dbsp::planner
