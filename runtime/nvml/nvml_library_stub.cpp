// SPDX-License-Identifier: Apache-2.0
// NvmlLibrary of a build without NVML: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/nvml/nvml_library.h"

namespace dbsp::runtime {

struct NvmlLibrary::Api {};

NvmlLibrary::NvmlLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
NvmlLibrary::~NvmlLibrary() = default;
NvmlLibrary::NvmlLibrary(NvmlLibrary&&) noexcept = default;
NvmlLibrary& NvmlLibrary::operator=(NvmlLibrary&&) noexcept = default;

NvmlLibrary NvmlLibrary::Load(const std::string&) {
  Fail(ErrorCode::kUnavailable, "NVML: unavailable: not built: {}", DBSP_NOT_BUILT);
}

std::optional<std::string> NvmlLibrary::InstalledVersion(const std::string&) {
  return std::nullopt;
}

// Load() never returns, so no object exists for these calls.
std::string NvmlLibrary::driver_version() const { return {}; }
int NvmlLibrary::device_count() const { return 0; }

}  // namespace dbsp::runtime
