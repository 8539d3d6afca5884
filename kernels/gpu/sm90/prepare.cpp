// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/sm90/prepare.h"

#include <cuda_runtime_api.h>

#include "core/error.h"
#include "kernels/gpu/check_call.h"
#include "kernels/gpu/sm90/variants.h"
#include "kernels/gpu/tensor_map_encode.h"

namespace dbsp::kernels::gpu::sm90 {
namespace {

int Attribute(const Variant& variant, cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&value, attribute, device);
  if (error != cudaSuccess) {
    Fail(ErrorCode::kUnavailable, "{}: no device: {}", variant.name, cudaGetErrorString(error));
  }
  return value;
}

}  // namespace

Prepared Prepare(const Variant& variant, const AttentionCall& call) {
  CheckCall(variant, call);
  CheckArch(variant,
            10 * Attribute(variant, cudaDevAttrComputeCapabilityMajor) +
                Attribute(variant, cudaDevAttrComputeCapabilityMinor));
  const MapSpecs specs = MapSpecsOf(variant, call);
  return {EncodeTensorMap(specs.q),
          EncodeTensorMap(specs.k),
          EncodeTensorMap(specs.v),
          EncodeTensorMap(specs.o),
          call.sm_count > 0 ? call.sm_count : Attribute(variant, cudaDevAttrMultiProcessorCount)};
}

}  // namespace dbsp::kernels::gpu::sm90
