// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvml_library.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime {
namespace {

// The toolkit may come without nvml.h, so these are our own prototypes of the few functions used.
// NVML's results are a C enum of small values, which is passed as an int is; 0 is success.
using Init = int();
using Shutdown = int();
using SystemGetDriverVersion = int(char* version, unsigned length);
using DeviceGetCount = int(unsigned* count);
using ErrorString = const char*(int result);

}  // namespace

struct NvmlLibrary::Api {
  explicit Api(const std::string& name)
      : library(name,
                "NVML: unavailable",
                "install the NVIDIA driver or put its folder on LD_LIBRARY_PATH") {
    Check(init(), "nvmlInit_v2");
    started = true;
  }
  ~Api() {
    if (started) shutdown();
  }
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void Check(int result, const char* call) const {
    if (result == 0) return;
    Fail(ErrorCode::kUnavailable,
         "NVML: unavailable: {}: {} (NVML error {})",
         call,
         error_string(result),
         result);
  }

  DynamicLibrary library;
  Init* init = library.Get<Init>("nvmlInit_v2");
  Shutdown* shutdown = library.Get<Shutdown>("nvmlShutdown");
  SystemGetDriverVersion* driver_version =
      library.Get<SystemGetDriverVersion>("nvmlSystemGetDriverVersion");
  DeviceGetCount* device_count = library.Get<DeviceGetCount>("nvmlDeviceGetCount_v2");
  ErrorString* error_string = library.Get<ErrorString>("nvmlErrorString");
  bool started = false;
};

NvmlLibrary::NvmlLibrary(std::unique_ptr<Api> api) : api_(std::move(api)) {}
NvmlLibrary::~NvmlLibrary() = default;
NvmlLibrary::NvmlLibrary(NvmlLibrary&&) noexcept = default;
NvmlLibrary& NvmlLibrary::operator=(NvmlLibrary&&) noexcept = default;

NvmlLibrary NvmlLibrary::Load(const std::string& library) {
  return NvmlLibrary(std::make_unique<Api>(library));
}

std::string NvmlLibrary::driver_version() const {
  std::array<char, 96> version{};  // NVML writes 80 at most, its closing 0 included
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
