// SPDX-License-Identifier: Apache-2.0
// NVML, the driver's management library, opened at run time. In a build with DBSP_ENABLE_NVML=OFF,
// Load() throws. The class changes no setting of a device.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class NvmlLibrary {
 public:
  /// Opens and starts NVML; the destructor shuts it down.
  /// errors  Error{kUnavailable} "NVML: unavailable: ..." when it is absent, not built or does not
  ///         start (with its error text), or with the name of a function that an old library does
  ///         not have
  static NvmlLibrary Load(const std::string& library = "libnvidia-ml.so.1");
  ~NvmlLibrary();
  NvmlLibrary(NvmlLibrary&&) noexcept;
  NvmlLibrary& operator=(NvmlLibrary&&) noexcept;

  /// Version of the kernel driver, "580.82.07".
  /// errors  Error{kUnavailable} with NVML's error text
  [[nodiscard]] std::string driver_version() const;
  /// Number of devices in the system; CUDA_VISIBLE_DEVICES has no effect. errors as above
  [[nodiscard]] int device_count() const;

  /// driver_version() of the installed driver; nothing without one.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libnvidia-ml.so.1");

 private:
  struct Api;
  explicit NvmlLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
