// SPDX-License-Identifier: Apache-2.0
// Small plans with predictions from UnitCosts, made without the tuner.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/plan.h"
#include "core/workload.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "tests/replay/cases.h"

namespace dbsp::replay::testing {

/// 3 heads of 16 on a 2 x 7 x 9 grid with 11 text tokens, blocks 16 x 8, random masks.
inline Workload SmallWorkload(int steps, int layers) {
  Workload workload;
  workload.model.name = "small";
  workload.model.heads = 3;
  workload.model.head_dim = 16;
  workload.model.grid = {2, 7, 9};
  workload.model.text_tokens = 11;
  workload.model.steps = steps;
  workload.model.layers = layers;
  workload.block = {16, 8};
  planner::ApplyMaskFlag("random:density=0.4,seed=3", workload);
  return workload;
}

/// One strategy for every (step, layer), each with its own prediction, tokens in order of `layout`;
/// `cfg_degree` passes at the same time, each on U * R ranks.
inline Plan SmallPlan(const Workload& workload,
                      Family family,
                      std::pair<int, int> degrees,
                      const std::string& layout = "given",
                      int cfg_degree = 1) {
  Plan plan;
  Workload with_passes = workload;
  with_passes.model.passes = std::max(cfg_degree, workload.model.passes);
  plan.workload_json = WorkloadToJson(with_passes);
  plan.workload_hash = HashOf(with_passes);
  plan.workload_name = workload.model.name;
  plan.cluster = "unit";
  plan.device = "unit";
  plan.ranks = cfg_degree * degrees.first * degrees.second;
  plan.passes = with_passes.model.passes;
  plan.shape = workload.shape();
  plan.layouts = {{"given", {}}};
  if (layout != "given") plan.layouts.push_back(planner::MakeLayout(layout, plan.shape));
  const auto masks = planner::OpenMasks(workload);
  const HomeLayout home = MakeHomeLayout(plan.shape, degrees.first * degrees.second);
  for (int step = 0; step < workload.model.steps; ++step) {
    for (int layer = 0; layer < workload.model.layers; ++layer) {
      const LayerMasks cell =
          planner::Permuted(masks->At(step, layer), plan.layouts.back(), plan.shape);
      Strategy strategy = MakeStrategy(family, degrees.first, degrees.second);
      strategy.cfg_degree = cfg_degree;
      strategy.layout = static_cast<int>(plan.layouts.size()) - 1;
      strategy.partition = static_cast<int>(plan.partitions.size());
      plan.partitions.push_back(planner::MakePartition(
          family, plan.shape, cell, home.ranks(), degrees.first, degrees.second, home));
      const planner::LayerVolumes work = planner::BuildLayerVolumes(
          plan.shape, cell, plan.partitions.back(), strategy, home, DType::kF32);
      const auto index = static_cast<int>(plan.strategies.size());
      plan.strategies.push_back(strategy);
      plan.predictions.push_back(planner::Predict(work, plan.shape, DType::kF32, UnitCosts()));
      plan.cells.push_back({step, layer, index, index});
    }
  }
  return plan;
}

/// Makes every cell of `plan` share the strategy and prediction of the first; only right when the
/// masks of all cells are equal.
inline void ShareFirst(Plan& plan) {
  for (PlanCell& cell : plan.cells) cell.strategy = cell.prediction = 0;
}

}  // namespace dbsp::replay::testing
