// SPDX-License-Identifier: Apache-2.0
// Runs the source of the attention kernels on the emulator, for every row of the variant table.
// Pointers of a call are host memory.
#pragma once

#include <vector>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/tensor_map.h"
#include "tests/gpu_emulator/emulator.h"

namespace dbsp::emulated_gpu {

/// Runs `variant` on `call` with `grid` thread blocks. Uses the kernel's own blocks_per_sm.
/// errors  those of CheckCall; Error{kInternal} for a fault that the emulator detects
kernels::gpu::isa::RunReport RunAttention(const kernels::gpu::Variant& variant,
                                          const kernels::gpu::AttentionCall& call,
                                          int grid,
                                          const kernels::gpu::isa::RunOptions& options);

/// One kernel of a family. `run` requires a checked call.
struct EmulatedKernel {
  const char* name = "";
  int blocks_per_sm = 1;
  kernels::gpu::isa::RunReport (*run)(const kernels::gpu::Variant& variant,
                                      const kernels::gpu::AttentionCall& call,
                                      int grid,
                                      const kernels::gpu::isa::RunOptions& options) = nullptr;
};
std::vector<EmulatedKernel> Sm80Kernels();
std::vector<EmulatedKernel> Sm90Kernels();
std::vector<EmulatedKernel> GatherKernels();

/// Tensor map of the emulator for a tensor map of a launch.
kernels::gpu::isa::TensorMap MapOf(const kernels::gpu::TensorMapSpec& spec);

}  // namespace dbsp::emulated_gpu
