// SPDX-License-Identifier: Apache-2.0
// Which device a tool runs on, and what is known of it.
#pragma once

#include <optional>
#include <string>

#include "core/records.h"

namespace dbsp::runtime {

enum class DeviceKind : std::uint8_t { kCpu, kCuda };

struct DeviceSpec {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
};

/// Parses "cpu", "cuda", "cuda:1". errors Error{kInvalidArgument}
[[nodiscard]] DeviceSpec ParseDevice(const std::string& text);

/// Throws Error{kUnavailable} in words when the device cannot be used here, for example
/// "--device cuda: unavailable: no NVIDIA driver (libcuda.so.1 not found)".
void RequireDevice(const DeviceSpec& device);

/// Machine, build and process facts; argv as given to main. What is here of the vendors' libraries
/// stands in `extra` ("cuda_driver", "cuda_header", "nvml_driver", "nccl_runtime", "nccl_header",
/// "cupti_runtime", "cupti_header", and every NCCL_* variable of the environment) and is left out
/// where absent; for a CUDA device also "gpu_index", "gpu_pci" and what runtime/nvml/gpu_facts.h
/// names, or "nvml" with the reason why NVML does not say. errors  Error{kUnavailable} for a CUDA
/// device that is not here threads not while another thread changes the environment
[[nodiscard]] Provenance CollectProvenance(const DeviceSpec& device,
                                           int argc,
                                           const char* const* argv);

/// What whoever measures or replays there must know beforehand, one line: that MIG is on. Nothing
/// where NVML does not say so.
[[nodiscard]] std::optional<std::string> WarningOf(const Provenance& machine);

}  // namespace dbsp::runtime
