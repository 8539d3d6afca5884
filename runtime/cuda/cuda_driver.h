// SPDX-License-Identifier: Apache-2.0
// The CUDA driver, opened at run time. Without cuda.h at build time the same class answers that
// the build has no CUDA. It never creates a context.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace dbsp::runtime {

/// threads  const members are safe concurrently
class CudaDriver {
 public:
  /// Opens the driver and initialises it, with CUDA_MODULE_LOADING=EAGER unless the environment
  /// has it otherwise. threads  the first call not while another thread changes the environment
  /// errors  Error{kUnavailable}: no driver, a driver that will not start (with its own words), or
  ///         a build without CUDA
  static CudaDriver Load(const std::string& library = "libcuda.so.1");
  /// version() without starting the driver, which takes seconds on some machines and which a run
  /// on the CPU has no business to do; nothing where Load() would find no driver to start.
  [[nodiscard]] static std::optional<std::string> InstalledVersion(
      const std::string& library = "libcuda.so.1");
  /// CUDA version of the cuda.h this build was made with; nothing when it was not built.
  [[nodiscard]] static std::optional<std::string> HeaderVersion();
  ~CudaDriver();
  CudaDriver(CudaDriver&&) noexcept;
  CudaDriver& operator=(CudaDriver&&) noexcept;

  /// CUDA version the driver supports, "13.0".
  [[nodiscard]] std::string version() const;
  /// The same as CUDA counts it: 13000 is 13.0.
  [[nodiscard]] int version_number() const;
  /// Devices; 0 when the driver works but sees none.
  [[nodiscard]] int device_count() const;
  /// "NVIDIA H200". requires 0 <= index < device_count(). errors Error{kUnavailable}
  [[nodiscard]] std::string device_name(int index) const;
  /// "GPU-8f0c...". requires as above. errors Error{kUnavailable}
  [[nodiscard]] std::string device_uuid(int index) const;
  /// "0000:17:00.0", which is how NVML is asked for it. requires as above. errors as above
  [[nodiscard]] std::string device_pci(int index) const;
  [[nodiscard]] std::int64_t device_memory_bytes(int index) const;

 private:
  struct Api;
  explicit CudaDriver(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

}  // namespace dbsp::runtime
