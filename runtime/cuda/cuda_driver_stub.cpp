// SPDX-License-Identifier: Apache-2.0
// CudaDriver of a build without cuda.h. Load() reports whether the driver or the build is missing.
#include "core/error.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime {

struct CudaDriver::Api {};

CudaDriver::CudaDriver(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CudaDriver::~CudaDriver() = default;
CudaDriver::CudaDriver(CudaDriver&&) noexcept = default;
CudaDriver& CudaDriver::operator=(CudaDriver&&) noexcept = default;

CudaDriver CudaDriver::Load(const std::string& library) {
  const DynamicLibrary driver(library, "no NVIDIA driver");
  Fail(ErrorCode::kUnavailable,
       "this build has no CUDA; build dbsp with nvcc and DBSP_ENABLE_CUDA=ON");
}

std::optional<std::string> CudaDriver::InstalledVersion(const std::string&) { return std::nullopt; }

std::optional<std::string> CudaDriver::HeaderVersion() { return std::nullopt; }

// Load() never returns here, so no object exists for these calls.
std::string CudaDriver::version() const { return {}; }
int CudaDriver::version_number() const { return 0; }
int CudaDriver::device_count() const { return 0; }
std::string CudaDriver::device_name(int) const { return {}; }
std::string CudaDriver::device_uuid(int) const { return {}; }
std::string CudaDriver::device_pci(int) const { return {}; }
std::int64_t CudaDriver::device_memory_bytes(int) const { return 0; }

}  // namespace dbsp::runtime
