// SPDX-License-Identifier: Apache-2.0
// Active blocks per rank of one cell, as the plan file stores them: on plain ulysses, on plain ring
// and under the plan.
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

}  // namespace

Json LoadJson(const Plan& plan, const PlanCell& cell) {
  const std::vector<std::int64_t>& blocks = plan.predictions[cell.prediction].active_blocks;
  if (blocks.empty()) {
    return {{"missing", "The plan file has no stored loads; make the plan again to store them."}};
  }
  Json charts = Json::array();
  for (const Baseline& baseline : plan.baselines) {
    charts.push_back(ChartJson(fmt::format("Plain {}", NameOf(baseline.family)),
                               baseline.active_blocks[cell.prediction]));
  }
  const Strategy& strategy = plan.strategies[cell.strategy];
  charts.push_back(ChartJson(fmt::format("This plan: {}", LabelOf(strategy, plan)), blocks));
  Json load = {{"ranks", plan.pass_ranks()}, {"mean", MeanOf(blocks)}, {"charts", charts}};
  if (plan.baselines.empty()) {
    load["note"] = "The plan has no stored baselines, so plain ulysses and ring are not shown.";
  }
  return load;
}

}  // namespace dbsp::reports
