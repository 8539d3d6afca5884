// SPDX-License-Identifier: Apache-2.0
// Densities per cell: Sparse-VideoGen's log of JSON lines, or a sparsity profile.
#include "planner/workload/rules/density_table.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  dbsp::planner::RuleContext context;
  context.model.layers = 2;
  context.model.heads = 2;
  context.model.steps = 2;
  context.model.passes = 2;
  context.model.grid = {1, 16, 32};
  context.block = {64, 64};
  const std::string text(bytes);
  for (const std::int64_t pass : {0, 1}) {
    dbsp::fuzz::ExpectResultOrError(
        [&] { (void)dbsp::planner::DensityFromJsonLines(text, "input", pass, context); });
  }
  (void)dbsp::planner::DensityFromCsv(text, "input", context);
}
