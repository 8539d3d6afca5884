// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/suite_options.h"

#include <algorithm>
#include <utility>

#include "profiler/suites/kernel_table.h"

namespace dbsp::profiler {

SuiteTarget CpuTarget() { return {.kernels = CpuKernels()}; }

SuiteTarget GpuTarget(int arch, std::int64_t free_bytes, std::optional<std::string> transport) {
  // 25 TFLOP is 40 ms at 620 TFLOP/s, which sparse attention may reach on an H200. For comparison:
  // dense attention of 5 of 40 heads over 75600 tokens, the share of one of 8 ranks of Wan 2.1 14B
  // at 720p, is 15 TFLOP. Drawing 2^26 triples takes a core half a second. An eighth of the memory
  // is left to the timer's buffer, to the runtime and to fragmentation.
  return {.dtype = DType::kBf16,
          .kernels = GpuKernels(arch),
          .most_operations = 2.5e13,
          .most_cells = double{1 << 26},
          .most_bytes = std::max<std::int64_t>(free_bytes / 8 * 7, 1),
          .transport = std::move(transport)};
}

}  // namespace dbsp::profiler
