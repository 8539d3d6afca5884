// SPDX-License-Identifier: Apache-2.0
// NVML's functions, for the sources in runtime/ that call it. A toolkit may have no nvml.h, so this
// header declares prototypes and layouts after NVML's reference. NVML's results and enums are C
// enums, which have the ABI of int; 0 is success.
#pragma once

#include <string>

#include "core/error.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime::internal {

using NvmlDevice = void*;

/// nvmlPciInfo_t
struct NvmlPciInfo {
  char bus_id_legacy[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned pci_device_id;
  unsigned pci_subsystem_id;
  char bus_id[32];
};

/// Starts NVML; the destructor shuts it down.
struct NvmlApi {
  explicit NvmlApi(const std::string& name)
      : library(DynamicLibrary::Search(
            name,
            "NVML: unavailable",
            "install the NVIDIA driver or put its folder on DBSP_LIBRARY_PATH")) {
    Check(init(), "nvmlInit_v2");
    started = true;
  }
  ~NvmlApi() {
    if (started) shutdown();
  }
  NvmlApi(const NvmlApi&) = delete;
  NvmlApi& operator=(const NvmlApi&) = delete;

  /// errors  Error{kUnavailable} with the call and NVML's error text
  void Check(int result, const char* call) const {
    if (result == 0) return;
    Fail(ErrorCode::kUnavailable,
         "NVML: unavailable: {}: {} (NVML error {})",
         call,
         error_string(result),
         result);
  }

  DynamicLibrary library;
  int (*init)() = library.Get<int()>("nvmlInit_v2");
  int (*shutdown)() = library.Get<int()>("nvmlShutdown");
  int (*driver_version)(char*,
                        unsigned) = library.Get<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
  int (*device_count)(unsigned*) = library.Get<int(unsigned*)>("nvmlDeviceGetCount_v2");
  const char* (*error_string)(int) = library.Get<const char*(int)>("nvmlErrorString");
  int (*device_by_pci)(const char*, NvmlDevice*) =
      library.Get<int(const char*, NvmlDevice*)>("nvmlDeviceGetHandleByPciBusId_v2");
  bool started = false;
};

}  // namespace dbsp::runtime::internal
