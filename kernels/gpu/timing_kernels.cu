// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/launch.h"
#include "kernels/gpu/timing_kernels.h"

namespace dbsp::kernels::gpu {
namespace {

__device__ std::uint64_t Nanoseconds() {
  std::uint64_t value;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
  return value;
}

__device__ unsigned Multiprocessor() {
  unsigned value;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(value));
  return value;
}

__global__ void Hold(const volatile std::int32_t* release,
                     volatile std::int32_t* gave_up,
                     std::uint64_t patience_ns) {
  const std::uint64_t begin = Nanoseconds();
  while (*release == 0) {
    if (Nanoseconds() - begin > patience_ns) {
      *gave_up = 1;
      __threadfence_system();
      return;
    }
  }
}

__global__ void StampClocks(ClockStamp* stamp) {
  if (Multiprocessor() != 0) return;
  // Several thread blocks may run on multiprocessor 0. Each writes a consistent pair.
  stamp->nanoseconds = Nanoseconds();
  stamp->cycles = static_cast<std::uint64_t>(clock64());
}

}  // namespace

void LaunchHold(const std::int32_t* release,
                std::int32_t* gave_up,
                std::int64_t patience_ns,
                void* stream) {
  Hold<<<1, 1, 0, static_cast<cudaStream_t>(stream)>>>(
      release, gave_up, static_cast<std::uint64_t>(patience_ns));
  RequireLaunched("Hold");
}

void LaunchClockStamp(ClockStamp* stamp, int sm_count, void* stream) {
  const auto blocks = static_cast<unsigned>(2 * sm_count);
  StampClocks<<<blocks, 1, 0, static_cast<cudaStream_t>(stream)>>>(stamp);
  RequireLaunched("StampClocks");
}

}  // namespace dbsp::kernels::gpu
