// SPDX-License-Identifier: Apache-2.0
// Times launches on a CUDA device by nvbench's method. A cold sample first overwrites the L2 cache,
// blocks the stream until all work is enqueued, so that the host's speed does not count, and takes
// the time between two device events.
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

  /// Runs `work` once and waits for it. This loads its kernels, which must not happen while the
  /// stream is blocked. what    names the work in errors
  void WarmUp(const DeviceWork& work, const char* what);
  /// Times one run with a cold L2 cache.
  /// what     names the work where an error or the deadline ends it
  /// requires WarmUp(work) before
  /// errors  Error{kMeasurement} when `work` waits for the device; as CheckCuda
  [[nodiscard]] DeviceReading Cold(const DeviceWork& work, const char* what = kWork);
  /// Mean time of `count` runs in a row without clearing the cache. Otherwise as Cold.
  [[nodiscard]] DeviceReading Batched(const DeviceWork& work, int count, const char* what = kWork);

 private:
  static constexpr const char* kWork = "timed work";
  DeviceReading Timed(const std::function<void()>& enqueue, int runs, const char* what);

  runtime::CudaDeviceFacts device_;
  runtime::CudaStream stream_;
  runtime::CudaEvent begin_;
  runtime::CudaEvent end_;
  runtime::CudaBuffer cache_;  ///< as large as the L2 cache
  runtime::CudaBuffer stamps_;
  runtime::CudaPinned flags_;  ///< int32 [2]: release the stream; the block timed out
};

}  // namespace dbsp::profiler
