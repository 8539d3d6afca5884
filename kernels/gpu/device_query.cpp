// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/device_query.h"

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace dbsp::kernels::gpu {
namespace {

int Attribute(const char* kernel, cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&value, attribute, device);
  if (error != cudaSuccess) {
    Fail(ErrorCode::kUnavailable, "{}: no device: {}", kernel, cudaGetErrorString(error));
  }
  return value;
}

}  // namespace

int DeviceArch(const char* kernel) {
  return 10 * Attribute(kernel, cudaDevAttrComputeCapabilityMajor) +
         Attribute(kernel, cudaDevAttrComputeCapabilityMinor);
}

int DeviceSms(const char* kernel) { return Attribute(kernel, cudaDevAttrMultiProcessorCount); }

}  // namespace dbsp::kernels::gpu
