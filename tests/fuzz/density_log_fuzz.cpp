// SPDX-License-Identifier: Apache-2.0
// Densities per cell: Sparse-VideoGen's log of JSON lines, or a sparsity profile.
#include "planner/workload/rules/density_table.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::ModelShape model;
  model.layers = 2;
  model.heads = 2;
  model.steps = 2;
  model.passes = 2;
  const dbsp::AttentionShape shape{2, 64, 512, {64, 64}};
  dbsp::fuzz::ExpectResultOrError([&] {
    (void)dbsp::planner::DensityFromJsonLines(std::string(bytes), "input", 0, model, shape);
  });
  (void)dbsp::planner::DensityFromCsv(std::string(bytes), "input", model, shape);
}
