// SPDX-License-Identifier: Apache-2.0
// NVML, the driver's management library, opened at run time. Built with DBSP_ENABLE_NVML=OFF the
// same class answers that it was not built. It changes no setting of a device.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class NvmlLibrary {
 public:
  /// Opens NVML and starts it; the object's end shuts it down.
  /// errors  Error{kUnavailable} "NVML: unavailable: ..." when it is absent, not built or will not
  ///         start (with its own words), or naming the function that a library too old lacks
  static NvmlLibrary Load(const std::string& library = "libnvidia-ml.so.1");
  ~NvmlLibrary();
  NvmlLibrary(NvmlLibrary&&) noexcept;
  NvmlLibrary& operator=(NvmlLibrary&&) noexcept;

  /// Version of the kernel driver, "580.82.07". errors Error{kUnavailable} with NVML's own words
  [[nodiscard]] std::string driver_version() const;
  /// Devices that NVML sees; CUDA_VISIBLE_DEVICES hides none. errors as above
  [[nodiscard]] int device_count() const;

  /// driver_version() of the driver at hand; nothing where it cannot be had.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libnvidia-ml.so.1");

 private:
  struct Api;
  explicit NvmlLibrary(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
