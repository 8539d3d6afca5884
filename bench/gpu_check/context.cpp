// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/context.h"

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/gpu_variants.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {

std::int64_t Context::RemainingNs() const { return deadline_ns - runtime::SteadyNs(); }

bool Context::FilterMatches(const std::string& name) const {
  return gpu_check::FilterMatches(options, name);
}

bool RunsOnDevice(const kernels::gpu::Variant& variant, const Context& context) {
  try {
    kernels::gpu::CheckArch(variant, context.device.arch);
    return true;
  } catch (const Error&) {
    return false;  // The kernel has no code for this device.
  }
}

std::vector<const kernels::gpu::Variant*> UsableVariants(const Context& context) {
  std::vector<const kernels::gpu::Variant*> usable;
  for (const kernels::gpu::Variant& variant : kernels::gpu::Variants()) {
    if (context.FilterMatches(variant.name) && RunsOnDevice(variant, context)) {
      usable.push_back(&variant);
    }
  }
  return usable;
}

}  // namespace dbsp::gpu_check
