// SPDX-License-Identifier: Apache-2.0
// The attention kernels' own source on the emulator, one function for every row of the variant
// table. Pointers of a call are host memory.
#pragma once

#include <vector>

#include "kernels/gpu/attention.h"
#include "kernels/gpu/tensor_map.h"
#include "tests/gpu_emulator/emulator.h"

namespace dbsp::emulated_gpu {

/// Runs `variant` over `call` with `grid` thread blocks. blocks_per_sm of `options` is the
/// kernel's. errors  what CheckCall refuses; Error{kInternal} for what the emulator refuses
kernels::gpu::isa::RunReport RunAttention(const kernels::gpu::Variant& variant,
                                          const kernels::gpu::AttentionCall& call,
                                          int grid,
                                          const kernels::gpu::isa::RunOptions& options);

/// One family's part of the above; a kernel's `run` is called with a call that was checked.
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

/// The emulator's form of what a launch tells the TMA.
kernels::gpu::isa::TensorMap MapOf(const kernels::gpu::TensorMapSpec& spec);

}  // namespace dbsp::emulated_gpu
