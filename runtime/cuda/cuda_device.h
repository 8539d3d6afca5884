// SPDX-License-Identifier: Apache-2.0
// The CUDA device a process computes on.
#pragma once

#include <cstddef>
#include <string>

namespace dbsp::runtime {

/// Properties of a device that are known before any work runs on it.
struct CudaDeviceFacts {
  int index = 0;
  std::string name;  ///< "NVIDIA H200"
  int arch = 0;  ///< compute capability, 90 for 9.0
  int sm_count = 0;
  std::size_t memory_bytes = 0;
  std::size_t l2_bytes = 0;
  int shared_bytes_per_block = 0;  ///< most shared memory of a block, opt-in included
  int sm_clock_khz = 0;  ///< the default (boost) clock
  int driver_version = 0;  ///< 13000 is CUDA 13.0
  int runtime_version = 0;
};

/// Opens device `index`, makes it current for this thread and starts its context.
/// errors  Error{kUnavailable} in one line: no driver, no device, no such device, a driver older
///         than the toolkit this was built with, a build without CUDA, a device that does not start
[[nodiscard]] CudaDeviceFacts OpenCudaDevice(int index);

/// Makes a device current for this thread during the object's lifetime, then restores the previous
/// device.
class CurrentCudaDevice {
 public:
  explicit CurrentCudaDevice(int index);
  ~CurrentCudaDevice();
  CurrentCudaDevice(const CurrentCudaDevice&) = delete;
  CurrentCudaDevice& operator=(const CurrentCudaDevice&) = delete;

 private:
  [[maybe_unused]] int before_ = 0;  ///< no device is ever current in a build without CUDA
};

/// Free and total device memory now, bytes. errors as CheckCuda
struct CudaMemoryInfo {
  std::size_t free = 0;
  std::size_t total = 0;
};
[[nodiscard]] CudaMemoryInfo CudaMemory();

}  // namespace dbsp::runtime
