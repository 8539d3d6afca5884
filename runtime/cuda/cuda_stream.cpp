// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_stream.h"

#include <cuda_runtime.h>

#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/device_wait.h"

namespace dbsp::runtime {

void CudaStreamTraits::Close(Type stream) noexcept { (void)cudaStreamDestroy(stream); }

CudaStream::CudaStream() {
  cudaStream_t stream = nullptr;
  DBSP_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  stream_.Reset(stream);
}

void CudaStream::Synchronize(const char* what) const {
  WaitForDevice(
      [&] {
        const cudaError_t result = cudaStreamQuery(stream_.get());
        if (result == cudaErrorNotReady) return false;
        CheckCuda(result, what, __FILE__, __LINE__);
        return true;
      },
      what);
}

bool CudaStream::Idle() const {
  const cudaError_t result = cudaStreamQuery(stream_.get());
  if (result == cudaErrorNotReady) return false;
  DBSP_CUDA(result);
  return true;
}

}  // namespace dbsp::runtime
