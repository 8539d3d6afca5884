// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_event.h"

#include <cuda_runtime.h>

#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::runtime {

void CudaEventTraits::Close(Type event) noexcept { (void)cudaEventDestroy(event); }

CudaEvent::CudaEvent() {
  cudaEvent_t event = nullptr;
  DBSP_CUDA(cudaEventCreateWithFlags(&event, cudaEventDefault));
  event_.Reset(event);
}

void CudaEvent::Record(const CudaStream& stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  DBSP_CUDA(cudaStreamIsCapturing(stream.get(), &capture));
  // A plain record within a capture is an edge of the graph and keeps no time.
  const bool captured = capture == cudaStreamCaptureStatusActive;
  DBSP_CUDA(cudaEventRecordWithFlags(
      event_.get(), stream.get(), captured ? cudaEventRecordExternal : cudaEventRecordDefault));
}

void CudaEvent::Synchronize() const { DBSP_CUDA(cudaEventSynchronize(event_.get())); }

double CudaEvent::ElapsedNs(const CudaEvent& begin, const CudaEvent& end) {
  float milliseconds = 0.0F;
  DBSP_CUDA(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
  return static_cast<double>(milliseconds) * 1e6;
}

}  // namespace dbsp::runtime
