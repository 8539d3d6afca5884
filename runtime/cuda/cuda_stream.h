// SPDX-License-Identifier: Apache-2.0
// A CUDA stream. Its handle is passed on as the void* that kernels/gpu takes.
#pragma once

#include "runtime/unique_handle.h"

struct CUstream_st;

namespace dbsp::runtime {

class CudaEvent;

struct CudaStreamTraits {
  using Type = CUstream_st*;
  static constexpr Type kNull = nullptr;
  static void Close(Type stream) noexcept;
};

/// Work in order, not ordered with the default stream.
/// errors  of the constructor and of every member: as CheckCuda (runtime/cuda/cuda_check.h)
/// threads one thread at a time
class CudaStream {
 public:
  /// On the current device.
  CudaStream();
  [[nodiscard]] CUstream_st* get() const { return stream_.get(); }
  /// What is enqueued from here on starts after the last Record() of `event`, on whichever stream
  /// of whichever device; the host does not wait.
  void WaitFor(const CudaEvent& event) const;
  /// Waits until all work enqueued so far is done.
  void Synchronize() const;
  /// Whether all work enqueued so far is done, without waiting.
  [[nodiscard]] bool Idle() const;

 private:
  UniqueHandle<CudaStreamTraits> stream_;
};

}  // namespace dbsp::runtime
