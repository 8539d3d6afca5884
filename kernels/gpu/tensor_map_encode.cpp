// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/tensor_map_encode.h"

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace dbsp::kernels::gpu {
namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled FindEncoder() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess || found == nullptr) {
    Fail(ErrorCode::kUnavailable,
         "cuTensorMapEncodeTiled: not in the driver ({}); TMA kernels need a driver of CUDA 12 or "
         "later",
         error == cudaSuccess ? "no such entry point" : cudaGetErrorString(error));
  }
  return reinterpret_cast<EncodeTiled>(found);
}

}  // namespace

CUtensorMap EncodeTensorMap(const TensorMapSpec& spec) {
  static const EncodeTiled encode = FindEncoder();
  constexpr std::array<cuuint32_t, 4> kDense{1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult result = encode(&map,
                                 CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                 static_cast<cuuint32_t>(spec.extents.size()),
                                 spec.data,
                                 spec.extents.data(),
                                 spec.strides.data(),
                                 spec.box.data(),
                                 kDense.data(),
                                 CU_TENSOR_MAP_INTERLEAVE_NONE,
                                 CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    Fail(
        ErrorCode::kInvalidArgument,
        "cuTensorMapEncodeTiled returned {} for extents {}x{}x{}x{}, strides {}, {}, {} bytes, box "
        "{}x{} at {}",
        static_cast<int>(result),
        spec.extents[0],
        spec.extents[1],
        spec.extents[2],
        spec.extents[3],
        spec.strides[0],
        spec.strides[1],
        spec.strides[2],
        spec.box[0],
        spec.box[1],
        spec.data);
  }
  return map;
}

}  // namespace dbsp::kernels::gpu
