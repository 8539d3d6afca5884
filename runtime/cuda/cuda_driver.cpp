// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_driver.h"

#include <cuda.h>
#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "runtime/dynamic_library.h"

// cuda.h renames some functions to versioned symbols by macros: the symbol's name must be the
// macro's expansion, and the type comes from the same expansion.
#define DBSP_TEXT_(name) #name
#define DBSP_TEXT(name) DBSP_TEXT_(name)

namespace dbsp::runtime {
namespace {

constexpr const char* kNoDriver = "no NVIDIA driver";

/// Makes CUDA load all kernels when it creates the context. With lazy loading a kernel's first
/// launch may wait for the device, which would be a deadlock while the device waits for another
/// rank's exchange or is held until all work is enqueued. A value set by the user is kept.
void LoadModulesEagerly() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("CUDA_MODULE_LOADING", "EAGER", 0); });
}

std::string VersionText(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

struct CudaDriver::Api {
  explicit Api(const std::string& name) : library(name, kNoDriver) {}

  void Check(CUresult result, const char* call) const {
    if (result == CUDA_SUCCESS) return;
    const char* text = nullptr;
    if (GetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) text = "unknown error";
    Fail(ErrorCode::kUnavailable, "{}: {} (CUDA error {})", call, text, static_cast<int>(result));
  }
  [[nodiscard]] CUdevice Device(int index) const {
    CUdevice device = 0;
    Check(DeviceGet(&device, index), "cuDeviceGet");
    return device;
  }

  DynamicLibrary library;
  decltype(::cuInit)* Init = library.Get<decltype(::cuInit)>(DBSP_TEXT(cuInit));
  decltype(::cuDriverGetVersion)* DriverGetVersion =
      library.Get<decltype(::cuDriverGetVersion)>(DBSP_TEXT(cuDriverGetVersion));
  decltype(::cuGetErrorString)* GetErrorString =
      library.Get<decltype(::cuGetErrorString)>(DBSP_TEXT(cuGetErrorString));
  decltype(::cuDeviceGetCount)* DeviceGetCount =
      library.Get<decltype(::cuDeviceGetCount)>(DBSP_TEXT(cuDeviceGetCount));
  decltype(::cuDeviceGet)* DeviceGet = library.Get<decltype(::cuDeviceGet)>(DBSP_TEXT(cuDeviceGet));
  decltype(::cuDeviceGetName)* DeviceGetName =
      library.Get<decltype(::cuDeviceGetName)>(DBSP_TEXT(cuDeviceGetName));
  decltype(::cuDeviceGetUuid)* DeviceGetUuid =
      library.Get<decltype(::cuDeviceGetUuid)>(DBSP_TEXT(cuDeviceGetUuid));
  decltype(::cuDeviceGetPCIBusId)* DeviceGetPCIBusId =
      library.Get<decltype(::cuDeviceGetPCIBusId)>(DBSP_TEXT(cuDeviceGetPCIBusId));
  decltype(::cuDeviceTotalMem)* DeviceTotalMem =
      library.Get<decltype(::cuDeviceTotalMem)>(DBSP_TEXT(cuDeviceTotalMem));
  int count = 0;
};

CudaDriver::CudaDriver(std::unique_ptr<Api> api) : api_(std::move(api)) {}
CudaDriver::~CudaDriver() = default;
CudaDriver::CudaDriver(CudaDriver&&) noexcept = default;
CudaDriver& CudaDriver::operator=(CudaDriver&&) noexcept = default;

CudaDriver CudaDriver::Load(const std::string& library) {
  LoadModulesEagerly();  // the driver reads it when it starts
  auto api = std::make_unique<Api>(library);
  const CUresult started = api->Init(0);
  if (started != CUDA_ERROR_NO_DEVICE) {
    api->Check(started, "the NVIDIA driver does not start: cuInit");
    api->Check(api->DeviceGetCount(&api->count), "cuDeviceGetCount");
  }
  return CudaDriver(std::move(api));
}

std::optional<std::string> CudaDriver::InstalledVersion(const std::string& library) {
  try {
    const DynamicLibrary driver(library, kNoDriver);
    int version = 0;
    const CUresult result =
        driver.Get<decltype(::cuDriverGetVersion)>(DBSP_TEXT(cuDriverGetVersion))(&version);
    if (result == CUDA_SUCCESS) return VersionText(version);
  } catch (const Error&) {
    // A missing driver is a normal outcome here.
  }
  return std::nullopt;
}

int CudaDriver::version_number() const {
  int version = 0;
  api_->Check(api_->DriverGetVersion(&version), "cuDriverGetVersion");
  return version;
}

std::optional<std::string> CudaDriver::HeaderVersion() { return VersionText(CUDA_VERSION); }

std::string CudaDriver::version() const { return VersionText(version_number()); }

int CudaDriver::device_count() const { return api_->count; }

std::string CudaDriver::device_name(int index) const {
  std::array<char, 256> name{};
  api_->Check(
      api_->DeviceGetName(name.data(), static_cast<int>(name.size()) - 1, api_->Device(index)),
      "cuDeviceGetName");
  return name.data();
}

std::string CudaDriver::device_uuid(int index) const {
  CUuuid uuid{};
  api_->Check(api_->DeviceGetUuid(&uuid, api_->Device(index)), "cuDeviceGetUuid");
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

std::string CudaDriver::device_pci(int index) const {
  std::array<char, 64> id{};
  api_->Check(
      api_->DeviceGetPCIBusId(id.data(), static_cast<int>(id.size()) - 1, api_->Device(index)),
      "cuDeviceGetPCIBusId");
  return id.data();
}

std::int64_t CudaDriver::device_memory_bytes(int index) const {
  std::size_t bytes = 0;
  api_->Check(api_->DeviceTotalMem(&bytes, api_->Device(index)), "cuDeviceTotalMem");
  return static_cast<std::int64_t>(bytes);
}

}  // namespace dbsp::runtime
