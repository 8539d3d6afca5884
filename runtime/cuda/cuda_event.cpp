// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_event.h"

#include <cuda_runtime.h>

#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/device_wait.h"

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
  // During a capture a default record would only be an edge of the graph, without a time.
  const bool captured = capture == cudaStreamCaptureStatusActive;
  DBSP_CUDA(cudaEventRecordWithFlags(
      event_.get(), stream.get(), captured ? cudaEventRecordExternal : cudaEventRecordDefault));
}

void CudaEvent::Block(const CudaStream& stream) const {
  DBSP_CUDA(cudaStreamWaitEvent(stream.get(), event_.get(), cudaEventWaitDefault));
}

void CudaEvent::Synchronize() const {
  WaitForDevice(
      [&] {
        const cudaError_t result = cudaEventQuery(event_.get());
        if (result == cudaErrorNotReady) return false;
        DBSP_CUDA(result);
        return true;
      },
      "an event");
}

double CudaEvent::ElapsedNs(const CudaEvent& begin, const CudaEvent& end) {
  float milliseconds = 0.0F;
  DBSP_CUDA(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()));
  return static_cast<double>(milliseconds) * 1e6;
}

}  // namespace dbsp::runtime
