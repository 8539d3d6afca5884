// SPDX-License-Identifier: Apache-2.0
// Active blocks per rank of one cell in one step, from the loads that the plan file stores: on
// plain ulysses, on plain ring and under the plan, each on all ranks with all passes.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "reports/document_parts.h"

namespace dbsp::reports {
namespace {

double MeanOf(const std::vector<std::int64_t>& blocks) {
  return std::accumulate(blocks.begin(), blocks.end(), 0.0) / static_cast<double>(blocks.size());
}

Json ChartJson(const std::string& name, const std::vector<std::int64_t>& blocks) {
  const double mean = MeanOf(blocks);
  const auto max = static_cast<double>(*std::max_element(blocks.begin(), blocks.end()));
  return {{"name", name},
          {"blocks", blocks},
          {"peak_over_mean", mean > 0 ? Json(max / mean) : Json(nullptr)}};
}

/// Active blocks that every rank of the plan computes in one step, all passes: those of one pass
/// group, repeated for every group, times the waves.
std::vector<std::int64_t> OfStep(const std::vector<std::int64_t>& pass,
                                 int passes,
                                 int cfg_degree) {
  std::vector<std::int64_t> blocks;
  for (int group = 0; group < cfg_degree; ++group) {
    for (const std::int64_t count : pass) {
      blocks.push_back(count * SequentialWaves(passes, cfg_degree));
    }
  }
  return blocks;
}

}  // namespace

Json LoadJson(const Plan& plan, const PlanCell& cell) {
  const std::vector<std::int64_t>& blocks = plan.predictions[cell.prediction].active_blocks;
  if (blocks.empty()) {
    return {{"missing", "The plan file has no stored loads; make the plan again to store them."}};
  }
  Json charts = Json::array();
  bool older = false;
  for (const Baseline& baseline : plan.baselines) {
    if (baseline.cfg_degree != 1) {
      older = true;
      continue;
    }
    charts.push_back(ChartJson(
        fmt::format("Plain {}", NameOf(baseline.family)),
        OfStep(baseline.active_blocks[cell.prediction], plan.passes, baseline.cfg_degree)));
  }
  const Strategy& strategy = plan.strategies[cell.strategy];
  const std::vector<std::int64_t> own = OfStep(blocks, plan.passes, plan.cfg_degree());
  charts.push_back(ChartJson(fmt::format("This plan: {}", NameOf(strategy, plan)), own));
  Json load = {
      {"ranks", plan.ranks}, {"passes", plan.passes}, {"mean", MeanOf(own)}, {"charts", charts}};
  if (older) {
    load["note"] =
        "The plan is of an older version, whose baselines run both passes at the same "
        "time. They are not shown; make the plan again to compare.";
  } else if (plan.baselines.empty()) {
    load["note"] = "The plan has no stored baselines, so plain ulysses and ring are not shown.";
  }
  return load;
}

}  // namespace dbsp::reports
