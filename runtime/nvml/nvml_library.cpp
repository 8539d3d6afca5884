// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvml/nvml_library.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "runtime/nvml/nvml_api.h"

namespace dbsp::runtime {

struct NvmlLibrary::Api : internal::NvmlApi {
  using NvmlApi::NvmlApi;
};

NvmlLibrary::NvmlLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
NvmlLibrary::~NvmlLibrary() = default;
NvmlLibrary::NvmlLibrary(NvmlLibrary&&) noexcept = default;
NvmlLibrary& NvmlLibrary::operator=(NvmlLibrary&&) noexcept = default;

NvmlLibrary NvmlLibrary::Load(const std::string& library) {
  return NvmlLibrary(std::make_unique<Api>(library));
}

std::string NvmlLibrary::driver_version() const {
  std::array<char, 96> version{};  // NVML writes at most 80, with the terminating 0
  api_->Check(api_->driver_version(version.data(), static_cast<unsigned>(version.size()) - 1),
              "nvmlSystemGetDriverVersion");
  return version.data();
}

int NvmlLibrary::device_count() const {
  unsigned count = 0;
  api_->Check(api_->device_count(&count), "nvmlDeviceGetCount_v2");
  return static_cast<int>(count);
}

std::optional<std::string> NvmlLibrary::InstalledVersion(const std::string& library) {
  try {
    return Load(library).driver_version();
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace dbsp::runtime
