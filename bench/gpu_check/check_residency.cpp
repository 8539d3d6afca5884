// SPDX-License-Identifier: Apache-2.0
// Whether the thread blocks of a launch run on an SM together. A kernel that counts on a second
// block to hide its waits gives right results without it, at half the speed.
#include <fmt/format.h>

#include "bench/gpu_check/case_report.h"
#include "bench/gpu_check/context.h"

namespace dbsp::gpu_check {

bool CheckResidency(const char* part, Context& context) {
  CaseReport report(part, "thread blocks per SM", context);
  for (const kernels::gpu::Variant* variant : UsableVariants(context)) {
    report.Run(fmt::format("{}.residency", variant->name), 0, [&] {
      const int fit = variant->blocks_that_fit();
      return std::pair(
          fit >= variant->blocks_per_sm,
          fmt::format(
              "{} of {} thread blocks fit an SM at the same time", fit, variant->blocks_per_sm));
    });
  }
  return report.Finish();
}

}  // namespace dbsp::gpu_check
