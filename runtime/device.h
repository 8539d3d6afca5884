// SPDX-License-Identifier: Apache-2.0
// The device that a tool runs on, and the facts that are stored about it.
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

/// Parses "cpu", "cuda", "cuda:1".
/// errors  Error{kInvalidArgument}
[[nodiscard]] DeviceSpec ParseDevice(const std::string& text);

/// Collects the facts about machine, build and process that are stored with measurements. `extra`
/// holds versions of vendor libraries ("cuda_driver", "cuda_header", "nvml_driver", "nccl_runtime",
/// "nccl_header", "cupti_runtime", "cupti_header") and every NCCL_* variable of the environment; an
/// absent one is left out. For a CUDA device it also holds "gpu_index", "gpu_pci" and the facts of
/// runtime/nvml/gpu_facts.h, or "nvml" with the reason why NVML is unavailable.
/// argv     as given to main
/// errors   Error{kUnavailable} for a CUDA device that is absent
/// threads  not while another thread changes the environment
[[nodiscard]] Provenance CollectProvenance(const DeviceSpec& device,
                                           int argc,
                                           const char* const* argv);

/// A one-line warning to print before measuring, when NVML reports that MIG is on; else nothing.
[[nodiscard]] std::optional<std::string> WarningOf(const Provenance& machine);

}  // namespace dbsp::runtime
