// SPDX-License-Identifier: Apache-2.0
// Two small kernels that timing on a device needs; profiler/gpu/device_timer.h uses them.
#pragma once

#include <cstdint>

namespace dbsp::kernels::gpu {

/// Clocks as one multiprocessor read them, one right after the other.
struct ClockStamp {
  std::uint64_t nanoseconds = 0;  ///< %globaltimer
  std::uint64_t cycles = 0;  ///< clock64() of multiprocessor 0
};

/// Keeps `stream` waiting until the host writes a value other than 0 to `release`, so that what is
/// enqueued meanwhile starts back to back. Gives up after `patience_ns` and then writes 1 to
/// `gave_up`: a caller that waits for the device before it releases would otherwise hang.
/// release, gave_up  page-locked host memory (runtime::CudaPinned)
/// errors   Error{kUnavailable} in the runtime's words for a refused launch
void LaunchHold(const std::int32_t* release,
                std::int32_t* gave_up,
                std::int64_t patience_ns,
                void* stream);

/// Writes the clocks to `stamp`. Blocks enough to reach every multiprocessor are launched and only
/// the one on multiprocessor 0 writes, because cycle counters differ between them.
/// requires stamp reachable from the device; sm_count of the device
/// errors   as LaunchHold
void LaunchClockStamp(ClockStamp* stamp, int sm_count, void* stream);

}  // namespace dbsp::kernels::gpu
