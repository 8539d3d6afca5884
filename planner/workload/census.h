// SPDX-License-Identifier: Apache-2.0
// What the masks of a workload amount to: densities per rule and layer, and which cells are dense.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/fine_mask.h"
#include "core/workload.h"

namespace dbsp::planner {

/// Densities of the (step, layer, head) masks of one rule or one layer.
struct DensityRange {
  std::int64_t masks = 0;
  double low = 0;  ///< 0 without masks, as high and mean()
  double high = 0;
  double sum = 0;
  [[nodiscard]] double mean() const { return masks == 0 ? 0 : sum / static_cast<double>(masks); }
  void Add(double density);
};

struct RuleCensus {
  std::int64_t cells = 0;
  /// Cells of all passes with masks of their own. Cells whose equality only the masks show count as
  /// distinct.
  std::int64_t distinct_cells = 0;
  std::int64_t dense_cells = 0;  ///< every block of every head is active, and every key is listed
  DensityRange density;
  int queries = 0;  ///< per list of single keys; 0 without lists
  FineCounts fine;  ///< over the cells of the rule, if it has lists
  bool sla = false;  ///< the rule has classes of SLA; `density` is that of the critical blocks
  DensityRange marginal;  ///< of the marginal blocks, with sla
  std::vector<std::string> notes;  ///< MaskSource::Describe
};

struct LayerCensus {
  std::int64_t dense_cells = 0;
  DensityRange density;
};

struct Census {
  std::vector<RuleCensus> rules;
  std::vector<LayerCensus> layers;
  std::int64_t dense_cells = 0;
  DensityRange density;
  double active_blocks = 0;  ///< over all cells and heads, mean of the passes
};

/// Takes the densities of every cell. Cells with equal keys are measured once. Rules that know
/// their counts make no mask. If each guidance pass has masks of its own, a density is over the
/// masks of all passes, and a dense cell is dense in every pass. errors  as MaskSource
[[nodiscard]] Census TakeCensus(const Workload& workload);

/// What the lists of a rule keep at each granularity, as one sentence. requires queries > 0
[[nodiscard]] std::string FineText(const RuleCensus& rule);

/// Shares of the three classes of SLA, as one sentence. requires sla
[[nodiscard]] std::string SlaText(const RuleCensus& rule);

/// How many cells are dense and why, as one sentence.
[[nodiscard]] std::string DenseCellsText(const Workload& workload, const Census& census);

/// Lines for a person who has just made the workload: what the rules read, the densities, and the
/// dense cells. A line begins with "warning: " if no cell is sparse although a rule was given that
/// makes sparse masks, and with "note: " otherwise.
[[nodiscard]] std::vector<std::string> CensusLines(const Workload& workload, const Census& census);

}  // namespace dbsp::planner
