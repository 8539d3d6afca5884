// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_stream.h"

#include <cuda_runtime.h>

#include "runtime/cuda/cuda_check.h"

namespace dbsp::runtime {

void CudaStreamTraits::Close(Type stream) noexcept { (void)cudaStreamDestroy(stream); }

CudaStream::CudaStream() {
  cudaStream_t stream = nullptr;
  DBSP_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  stream_.Reset(stream);
}

void CudaStream::Synchronize() const { DBSP_CUDA(cudaStreamSynchronize(stream_.get())); }

bool CudaStream::Idle() const {
  const cudaError_t result = cudaStreamQuery(stream_.get());
  if (result == cudaErrorNotReady) return false;
  DBSP_CUDA(result);
  return true;
}

}  // namespace dbsp::runtime
