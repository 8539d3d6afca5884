// SPDX-License-Identifier: Apache-2.0
// Block masks in the layouts of array files: dense, lists, tables, ranges, pairs of tokens, bits.
#include "planner/workload/mask_array.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const auto path = dbsp::fuzz::InputFile(bytes, ".npz");
  dbsp::MaskArraySizes sizes;
  sizes.layers = 2;
  sizes.passes = 2;
  sizes.heads = 2;
  sizes.rows = 4;
  sizes.cols = 4;
  sizes.tokens = 8;
  sizes.block = {2, 2};
  const dbsp::MaskArrayFile file(path, {}, sizes);
  (void)file.Read({});
  (void)file.Describe();
  file.CheckAll();
}
