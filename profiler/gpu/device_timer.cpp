// SPDX-License-Identifier: Apache-2.0
#include "profiler/gpu/device_timer.h"

#include <array>
#include <cstdint>

#include "core/error.h"
#include "kernels/gpu/timing_kernels.h"

namespace dbsp::profiler {
namespace {

using kernels::gpu::ClockStamp;

/// Enqueueing takes microseconds. When it takes seconds, the work waits for the device.
constexpr std::int64_t kBlockTimeoutNs = 5'000'000'000;

}  // namespace

DeviceTimer::DeviceTimer(const runtime::CudaDeviceFacts& device)
    : device_(device),
      cache_(device.l2_bytes, "the buffer that clears the cache"),
      stamps_(2 * sizeof(ClockStamp), "clock stamps"),
      flags_(2 * sizeof(std::int32_t), "the flag that releases a blocked stream") {
  // CUDA loads a kernel at its first launch and may then wait for the device, which must not happen
  // while the stream is blocked.
  auto* flags = flags_.As<std::int32_t>();
  flags[0] = 1;
  kernels::gpu::LaunchHold(flags, flags + 1, kBlockTimeoutNs, stream_.get());
  kernels::gpu::LaunchClockStamp(stamps_.As<ClockStamp>(), device_.sm_count, stream_.get());
  stream_.Synchronize();
}

void DeviceTimer::WarmUp(const DeviceWork& work, const char* what) {
  work(stream_.get());
  stream_.Synchronize(what);
}

DeviceReading DeviceTimer::Cold(const DeviceWork& work, const char* what) {
  cache_.Fill(0, stream_);
  stream_.Synchronize();
  return Timed([&] { work(stream_.get()); }, 1, what);
}

DeviceReading DeviceTimer::Batched(const DeviceWork& work, int count, const char* what) {
  return Timed(
      [&] {
        for (int i = 0; i < count; ++i) work(stream_.get());
      },
      count,
      what);
}

DeviceReading DeviceTimer::Timed(const std::function<void()>& enqueue, int runs, const char* what) {
  auto* stamps = stamps_.As<ClockStamp>();
  stamps_.Fill(0, stream_);  // a stamp that is not written stays 0
  volatile std::int32_t* flags = flags_.As<std::int32_t>();
  flags[0] = 0;
  flags[1] = 0;
  void* stream = stream_.get();
  kernels::gpu::LaunchHold(
      flags_.As<std::int32_t>(), flags_.As<std::int32_t>() + 1, kBlockTimeoutNs, stream);
  try {
    kernels::gpu::LaunchClockStamp(stamps, device_.sm_count, stream);
    begin_.Record(stream_);
    enqueue();
    end_.Record(stream_);
    kernels::gpu::LaunchClockStamp(stamps + 1, device_.sm_count, stream);
  } catch (...) {
    flags[0] = 1;  // A stream that stays blocked would block the process at its end.
    throw;
  }
  flags[0] = 1;
  stream_.Synchronize(what);
  if (flags[1] != 0) {
    Fail(ErrorCode::kMeasurement,
         "device timing: enqueueing the work waits for the device, so the measured time would "
         "include the host");
  }
  std::array<ClockStamp, 2> read{};
  stamps_.Download(read.data(), sizeof(read), stream_);
  return {runtime::CudaEvent::ElapsedNs(begin_, end_) / runs,
          ClockRatio(read[0], read[1], device_.sm_clock_khz)};
}

}  // namespace dbsp::profiler
