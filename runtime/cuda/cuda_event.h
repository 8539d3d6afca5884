// SPDX-License-Identifier: Apache-2.0
// A CUDA event that keeps the time at which the device reached it.
#pragma once

#include "runtime/unique_handle.h"

struct CUevent_st;

namespace dbsp::runtime {

class CudaStream;

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
  /// In a recording of a CudaGraph every launch of the graph records the event; a stream may not
  /// wait for it within the recording.
  void Record(const CudaStream& stream);
  /// Waits until the device has reached the last Record().
  void Synchronize() const;
  /// Nanoseconds of device time from `begin` to `end`; CUDA resolves about half a microsecond.
  /// requires both recorded and reached
  [[nodiscard]] static double ElapsedNs(const CudaEvent& begin, const CudaEvent& end);

 private:
  UniqueHandle<CudaEventTraits> event_;
};

}  // namespace dbsp::runtime
