// SPDX-License-Identifier: Apache-2.0
// Block masks in the layouts of array files: dense, BSR, tables of differences.
#include "planner/workload/mask_array.h"
#include "tests/fuzz/fuzz_target.h"

DBSP_FUZZ_TARGET() {
  const dbsp::MaskArrayFile file(dbsp::fuzz::InputFile(bytes, ".npz"), "", 2, 4, 4);
  for (const std::int64_t last : {false, true}) {
    const dbsp::MaskArrayDims& dims = file.dims();
    const auto index = [&](std::int64_t count) { return last ? count - 1 : 0; };
    (void)file.Read(index(dims.times), index(dims.layers), index(dims.batches));
  }
}
