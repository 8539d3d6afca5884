// SPDX-License-Identifier: Apache-2.0
// Error checks of launches. Only .cu files and .cuh files include it.
#pragma once

#include <cuda_runtime.h>

namespace dbsp::kernels::gpu {

/// Throws Error{kUnavailable}. It is defined in launch.cpp because nvcc cannot parse the formatting
/// library that core/error.h includes.
[[noreturn]] void FailLaunch(const char* kernel, const char* text);

inline void RequireSuccess(const char* kernel, cudaError_t error) {
  if (error != cudaSuccess) FailLaunch(kernel, cudaGetErrorString(error));
}
inline void RequireLaunched(const char* kernel) { RequireSuccess(kernel, cudaGetLastError()); }

/// Allows `bytes` of dynamic shared memory per thread block (the default limit is 48 KiB), and asks
/// for the SM's whole L1 memory as shared memory. Without the second the driver may set aside only
/// what one block needs, and the blocks that should share an SM run one after the other.
template <typename Kernel>
void UseSharedMemory(const char* name, Kernel* kernel, int bytes) {
  RequireSuccess(name,
                 cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  RequireSuccess(
      name,
      cudaFuncSetAttribute(
          kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared));
}

/// Number of thread blocks of the kernel that the current device runs on one SM at the same time.
template <typename Kernel>
int BlocksThatFit(const char* name, Kernel* kernel, int threads, int bytes) {
  UseSharedMemory(name, kernel, bytes);
  int blocks = 0;
  RequireSuccess(name,
                 cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, bytes));
  return blocks;
}

}  // namespace dbsp::kernels::gpu
