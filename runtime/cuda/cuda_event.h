// SPDX-License-Identifier: Apache-2.0
// A CUDA event, which stores the time at which the device reached it.
#pragma once

#include "runtime/cuda/cuda_stream.h"
#include "runtime/unique_handle.h"

struct CUevent_st;

namespace dbsp::runtime {

struct CudaEventTraits {
  using Type = CUevent_st*;
  static constexpr Type kNull = nullptr;
  static void Close(Type event) noexcept;
};

/// errors  of the constructor and of every member: as CheckCuda (runtime/cuda/cuda_check.h)
/// threads one thread at a time
class CudaEvent {
 public:
  /// On the current device.
  CudaEvent();
  [[nodiscard]] CUevent_st* get() const { return event_.get(); }
  /// While a CudaGraph records `stream`, the event becomes part of the graph, and every launch of
  /// the graph records the event again. The recorded streams must not wait for the event.
  void Record(const CudaStream& stream);
  /// Work that is enqueued on `stream` after this call starts when the device has reached the last
  /// Record(), whose stream may be on another device. The host does not wait.
  void Block(const CudaStream& stream) const;
  /// Waits until the device has reached the last Record(), with a deadline
  /// (runtime/cuda/device_wait.h).
  void Synchronize() const;
  /// Nanoseconds of device time from `begin` to `end`. The resolution is about half a microsecond.
  /// requires the device has reached both
  [[nodiscard]] static double ElapsedNs(const CudaEvent& begin, const CudaEvent& end);

 private:
  UniqueHandle<CudaEventTraits> event_;
};

}  // namespace dbsp::runtime
