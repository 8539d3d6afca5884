// SPDX-License-Identifier: Apache-2.0
// What the launchers share; included by .cu files only.
#pragma once

#include <cuda_runtime.h>

namespace dbsp::kernels::gpu {

/// Throws Error{kUnavailable}. Defined in launch.cpp: nvcc's front end cannot parse the formatting
/// library that core/error.h includes.
[[noreturn]] void FailLaunch(const char* kernel, const char* words);

inline void RequireSuccess(const char* kernel, cudaError_t error) {
  if (error != cudaSuccess) FailLaunch(kernel, cudaGetErrorString(error));
}
inline void RequireLaunched(const char* kernel) { RequireSuccess(kernel, cudaGetLastError()); }

}  // namespace dbsp::kernels::gpu
