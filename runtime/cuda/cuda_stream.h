// SPDX-License-Identifier: Apache-2.0
// A CUDA stream. kernels/gpu takes its handle as void*.
#pragma once

#include "runtime/unique_handle.h"

struct CUstream_st;

namespace dbsp::runtime {

struct CudaStreamTraits {
  using Type = CUstream_st*;
  static constexpr Type kNull = nullptr;
  static void Close(Type stream) noexcept;
};

/// A queue of work that runs in order. It is not synchronised with the default stream.
/// errors  of the constructor and of every member: as CheckCuda (runtime/cuda/cuda_check.h)
/// threads one thread at a time
class CudaStream {
 public:
  /// On the current device.
  CudaStream();
  [[nodiscard]] CUstream_st* get() const { return stream_.get(); }
  /// Waits until all work enqueued so far is done, with a deadline (runtime/cuda/device_wait.h).
  /// what  names the work where an error or the deadline ends it
  void Synchronize(const char* what = "the work of a stream") const;
  /// Whether all work enqueued so far is done, without waiting.
  [[nodiscard]] bool Idle() const;

 private:
  UniqueHandle<CudaStreamTraits> stream_;
};

}  // namespace dbsp::runtime
