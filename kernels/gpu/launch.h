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

}  // namespace dbsp::kernels::gpu
