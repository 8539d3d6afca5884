// SPDX-License-Identifier: Apache-2.0
#include "tests/emulated_gpu/run_attention.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "kernels/gpu/check_call.h"

namespace dbsp::emulated_gpu {
namespace {

namespace gpu = kernels::gpu;

const EmulatedKernel& KernelOf(const gpu::Variant& variant) {
  static const std::vector<EmulatedKernel> all = [] {
    std::vector<EmulatedKernel> kernels = Sm80Kernels();
    for (const auto& family : {Sm90Kernels(), GatherKernels()}) {
      kernels.insert(kernels.end(), family.begin(), family.end());
    }
    return kernels;
  }();
  for (const EmulatedKernel& kernel : all) {
    if (std::string_view(kernel.name) == variant.name) return kernel;
  }
  Fail(ErrorCode::kInternal, "{}: not among the kernels that are emulated", variant.name);
}

}  // namespace

gpu::isa::RunReport RunAttention(const gpu::Variant& variant,
                                 const gpu::AttentionCall& call,
                                 int grid,
                                 const gpu::isa::RunOptions& options) {
  const EmulatedKernel& kernel = KernelOf(variant);
  gpu::CheckCall(variant, call);
  gpu::isa::RunOptions with_kernel = options;
  with_kernel.blocks_per_sm = kernel.blocks_per_sm;
  return kernel.run(variant, call, grid, with_kernel);
}

gpu::isa::TensorMap MapOf(const gpu::TensorMapSpec& spec) {
  std::array<std::int64_t, 4> extents{};
  std::array<std::int64_t, 3> strides{};
  std::array<int, 4> box{};
  std::copy(spec.extents.begin(), spec.extents.end(), extents.begin());
  std::copy(spec.strides.begin(), spec.strides.end(), strides.begin());
  std::copy(spec.box.begin(), spec.box.end(), box.begin());
  return gpu::isa::MakeTensorMap(spec.data, extents, strides, box);
}

}  // namespace dbsp::emulated_gpu
