// SPDX-License-Identifier: Apache-2.0
// A small layer that emulated GPUs compute quickly.
#pragma once

#include "core/workload.h"

namespace dbsp::testing {

/// 2 heads of 64, 200 tokens in blocks of 64, the last one short; dense.
inline Workload SmallWorkload() {
  Workload workload;
  workload.model.name = "small";
  workload.model.heads = 2;
  workload.model.head_dim = 64;
  workload.model.grid = {2, 10, 10};
  workload.block = {64, 64};
  workload.rules = {{"dense", {}, {}}};
  workload.assignments = {{0, 0, workload.model.steps, 0, workload.model.layers}};
  return workload;
}

}  // namespace dbsp::testing
