// SPDX-License-Identifier: Apache-2.0
// The CUDA driver, opened at run time. In a build without cuda.h, Load() throws. The class never
// creates a context.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class CudaDriver {
 public:
  /// Opens the driver and initialises it. Sets CUDA_MODULE_LOADING=EAGER unless the variable is
  /// set. threads  the first call not while another thread changes the environment errors
  /// Error{kUnavailable}: no driver, a driver that does not start (with its error text), or
  ///          a build without CUDA
  static CudaDriver Load(const std::string& library = "libcuda.so.1");
  /// version() without starting the driver, which takes seconds on some machines; nothing without a
  /// driver. For runs on the CPU.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libcuda.so.1");
  /// CUDA version of the cuda.h this build was made with; nothing in a build without CUDA.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();
  ~CudaDriver();
  CudaDriver(CudaDriver&&) noexcept;
  CudaDriver& operator=(CudaDriver&&) noexcept;

  /// The CUDA version that the driver supports, "13.0".
  [[nodiscard]] std::string version() const;
  /// The same as a number: 13000 is 13.0.
  [[nodiscard]] int version_number() const;
  /// Number of devices; 0 when the driver works but sees none.
  [[nodiscard]] int device_count() const;
  /// "NVIDIA H200". requires 0 <= index < device_count().
  /// errors  Error{kUnavailable}
  [[nodiscard]] std::string device_name(int index) const;
  /// "GPU-8f0c...". requires as above.
  /// errors  Error{kUnavailable}
  [[nodiscard]] std::string device_uuid(int index) const;
  /// "0000:17:00.0", the name that NVML takes. requires and errors as above
  [[nodiscard]] std::string device_pci(int index) const;
  [[nodiscard]] std::int64_t device_memory_bytes(int index) const;

 private:
  struct Api;
  explicit CudaDriver(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
