// SPDX-License-Identifier: Apache-2.0
// Holds a stream until all work of a sample is enqueued, so that the host's speed does not count.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "kernels/gpu/timing_kernels.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::profiler {

/// requires  every kernel and every NCCL exchange that is enqueued meanwhile has run once before:
///           their first launch may wait for the device, which waits for Release()
class StreamBlock {
 public:
  /// Enqueueing takes microseconds. When it takes seconds, it waits for the device.
  static constexpr std::int64_t kTimeoutNs = 5'000'000'000;

  /// flags  int32 [2]: release the stream; the block timed out. They outlive the object
  StreamBlock(const runtime::CudaPinned& flags, const runtime::CudaStream& stream)
      : flags_(flags.As<std::int32_t>()) {
    flags_[0] = 0;
    flags_[1] = 0;
    kernels::gpu::LaunchHold(
        flags.As<std::int32_t>(), flags.As<std::int32_t>() + 1, kTimeoutNs, stream.get());
  }
  /// A stream that stays blocked would block the process at its end.
  ~StreamBlock() { Release(); }
  StreamBlock(const StreamBlock&) = delete;
  StreamBlock& operator=(const StreamBlock&) = delete;
  void Release() { flags_[0] = 1; }
  /// requires all work is done
  /// errors   Error{kMeasurement} with `what` when the block timed out before Release()
  void Check(const char* what) const {
    if (flags_[1] == 0) return;
    Fail(ErrorCode::kMeasurement,
         "{}: enqueueing waits for the device, so the measured time would include the host",
         what);
  }

 private:
  volatile std::int32_t* flags_;
};

}  // namespace dbsp::profiler
