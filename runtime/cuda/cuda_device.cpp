// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_device.h"

#include <cuda_runtime.h>

#include "core/error.h"
#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_driver.h"

namespace dbsp::runtime {
namespace {

int Attribute(cudaDeviceAttr attribute, int index) {
  int value = 0;
  DBSP_CUDA(cudaDeviceGetAttribute(&value, attribute, index));
  return value;
}

}  // namespace

CudaDeviceFacts OpenCudaDevice(int index) {
  // The driver is opened first, because its error text is better: for a missing driver the CUDA
  // runtime reports "insufficient driver".
  const CudaDriver driver = CudaDriver::Load();
  CudaDeviceFacts facts;
  facts.index = index;
  facts.driver_version = driver.version_number();
  facts.runtime_version = CUDART_VERSION;
  RequireDriverFor(facts.driver_version, CUDART_VERSION);
  const int count = driver.device_count();
  if (count == 0) {
    Fail(ErrorCode::kUnavailable,
         "an NVIDIA driver (CUDA {}) is installed, but it sees no device",
         driver.version());
  }
  if (index < 0 || index >= count) {
    Fail(ErrorCode::kUnavailable, "no device {}; there are {}", index, count);
  }
  facts.name = driver.device_name(index);
  DBSP_CUDA(cudaSetDevice(index));
  facts.arch = 10 * Attribute(cudaDevAttrComputeCapabilityMajor, index) +
               Attribute(cudaDevAttrComputeCapabilityMinor, index);
  facts.sm_count = Attribute(cudaDevAttrMultiProcessorCount, index);
  facts.l2_bytes = static_cast<std::size_t>(Attribute(cudaDevAttrL2CacheSize, index));
  facts.shared_bytes_per_block = Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
  facts.sm_clock_khz = Attribute(cudaDevAttrClockRate, index);
  facts.memory_bytes = CudaMemory().total;
  return facts;
}

CurrentCudaDevice::CurrentCudaDevice(int index) {
  DBSP_CUDA(cudaGetDevice(&before_));
  DBSP_CUDA(cudaSetDevice(index));
}

CurrentCudaDevice::~CurrentCudaDevice() { (void)cudaSetDevice(before_); }

CudaMemoryInfo CudaMemory() {
  CudaMemoryInfo info;
  DBSP_CUDA(cudaMemGetInfo(&info.free, &info.total));
  return info;
}

}  // namespace dbsp::runtime
