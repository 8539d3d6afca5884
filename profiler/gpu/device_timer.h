// SPDX-License-Identifier: Apache-2.0
// Times launches on a CUDA device by nvbench's method. A cold sample overwrites the second-level
// cache, holds the stream back until everything is enqueued, so that the host's speed does not
// count, and reads device events before and after.
#pragma once

#include <functional>

#include "profiler/gpu/device_measure.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

/// Enqueues work on a stream and does not wait for it.
using DeviceWork = std::function<void(void* stream)>;

/// threads  one thread at a time; the device must be current
class DeviceTimer {
 public:
  /// errors  as the runtime's objects: Error{kUnavailable}
  explicit DeviceTimer(const runtime::CudaDeviceFacts& device);

  [[nodiscard]] const runtime::CudaStream& stream() const { return stream_; }

  /// Runs `work` once, unheld and waited for: loads its machine code, which must not happen while
  /// the stream is held, and shows its errors by the name of `what`.
  void WarmUp(const DeviceWork& work, const char* what);
  /// One run with a cold second-level cache.
  /// requires WarmUp(work) before
  /// errors  Error{kMeasurement} when `work` waits for the device; as CheckCuda
  [[nodiscard]] DeviceReading Cold(const DeviceWork& work);
  /// Mean of `count` runs back to back, caches as they leave them. requires and errors as Cold
  [[nodiscard]] DeviceReading Batched(const DeviceWork& work, int count);

 private:
  DeviceReading Timed(const std::function<void()>& enqueue, int runs);

  runtime::CudaDeviceFacts device_;
  runtime::CudaStream stream_;
  runtime::CudaEvent begin_;
  runtime::CudaEvent end_;
  runtime::CudaBuffer cache_;  ///< as large as the second-level cache
  runtime::CudaBuffer stamps_;
  runtime::CudaPinned flags_;  ///< int32 [2]: release, gave up
};

}  // namespace dbsp::profiler
