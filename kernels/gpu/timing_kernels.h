// SPDX-License-Identifier: Apache-2.0
// Two kernels for timing on a device; profiler/gpu/device_timer.h uses them.
#pragma once

#include <cstdint>

namespace dbsp::kernels::gpu {

/// Two clocks of one multiprocessor, read one immediately after the other.
struct ClockStamp {
  std::uint64_t nanoseconds = 0;  ///< %globaltimer
  std::uint64_t cycles = 0;  ///< clock64() of multiprocessor 0
};

/// Blocks `stream` until the host writes a value other than 0 to `release`, so that the operations
/// enqueued meanwhile start back to back. After `patience_ns` the kernel ends and writes 1 to
/// `gave_up`; otherwise a caller that waits for the device before the release would hang.
/// release, gave_up  page-locked host memory (runtime::CudaPinned)
/// errors   Error{kUnavailable} with the CUDA runtime's text when the launch fails
void LaunchHold(const std::int32_t* release,
                std::int32_t* gave_up,
                std::int64_t patience_ns,
                void* stream);

/// Writes the clocks of multiprocessor 0 to `stamp`. Cycle counters differ between multiprocessors,
/// so the launch has enough thread blocks to reach all of them and only those on multiprocessor 0
/// write. requires stamp in memory that the device can access; sm_count of the device errors those
/// of LaunchHold
void LaunchClockStamp(ClockStamp* stamp, int sm_count, void* stream);

}  // namespace dbsp::kernels::gpu
