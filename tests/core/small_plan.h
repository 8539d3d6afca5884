// SPDX-License-Identifier: Apache-2.0
// Plans that a test makes by hand.
#pragma once

#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/workload.h"

namespace dbsp::testing {

/// Puts a workload of dense masks into `plan` that has its shape and passes.
inline void AddWorkload(Plan& plan, int steps, int layers) {
  Workload workload;
  workload.model.name = "tiny";
  workload.model.steps = steps;
  workload.model.layers = layers;
  workload.model.heads = plan.shape.heads;
  workload.model.head_dim = plan.shape.head_dim;
  workload.model.passes = plan.passes;
  workload.model.grid = {1, 1, static_cast<int>(plan.shape.tokens)};
  workload.block = plan.shape.block;
  workload.rules = {{"dense", {}, ""}};
  workload.assignments = {{0, 0, steps, 0, layers}};
  plan.workload_name = workload.model.name;
  plan.workload_json = WorkloadToJson(workload);
  plan.workload_hash = HashBytes(plan.workload_json);
}

/// A plan small enough to reason about: 2 heads, 10 x 10 blocks, a ring of 2.
inline Plan SmallPlan() {
  Plan plan;
  plan.ranks = 2;
  plan.passes = 2;
  plan.shape = {2, 64, 1000, {100, 100}};
  AddWorkload(plan, 2, 2);
  plan.layouts = {{"given", {}}, {"swap", {1, 0}}};
  plan.partitions = {
      {2, 2, 10, 10, {{{0, 1}, {0, 1}, std::vector<int>(10, 1), std::vector<int>(10, 0)}}}};
  plan.strategies = {{Family::kRing, 1, 1, 2, Exchange::kRing, 1, 0, 0, ""}};
  Prediction prediction;
  prediction.total_ns = 20;
  prediction.low_ns = 10;
  prediction.high_ns = 30;
  prediction.segments = {{1, SegmentKind::kHop, 0, 5, 6, 7}};
  plan.predictions = {prediction};
  plan.contracts = {{1.05, 0, {}}};
  plan.cells = {{0, 0, 0, 0, 0}, {0, 1, 0, 0}, {1, 0, 0, 0}};
  return plan;
}

/// The document of a plan without the hash of its content, so that a test can change it.
inline Json Editable(const Plan& plan) {
  Json json = Json::parse(PlanToJson(plan));
  json.erase("content_hash");
  return json;
}

}  // namespace dbsp::testing
