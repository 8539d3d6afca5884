// SPDX-License-Identifier: Apache-2.0
// Properties of GPUs that measurements depend on, from NVML: clocks, power limit, ECC, MIG, links.
// They are stored with measurements as text by name. Properties that the device or driver does not
// report are left out.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// Properties of the GPU at `pci` ("0000:17:00.0"; for a MIG device, of its GPU):
///   gpu_vbios, gpu_ecc ("on", "off"; "on, off after reboot"), gpu_mig (as gpu_ecc),
///   gpu_sm_clock_mhz, gpu_memory_clock_mhz (now), gpu_sm_clock_max_mhz, gpu_memory_clock_max_mhz,
///   gpu_sm_clock_application_mhz, gpu_power_limit_w (enforced), gpu_power_limit_default_w,
///   gpu_temperature_c, gpu_clock_events ("none", "power cap, thermal slowdown"),
///   gpu_nvlinks (active ones)
/// errors  Error{kUnavailable} with NVML's error text: no NVML, no such device
[[nodiscard]] std::map<std::string, std::string> GpuFacts(
    const std::string& pci, const std::string& library = "libnvidia-ml.so.1");

/// Links of every pair a < b of the GPUs, numbered as in `pcis`: "gpu_link_0_1" = "read ok, write
/// ok, nvlink ok, 18 direct links", with a reason instead of "ok" when the access is not possible.
/// GPUs behind a switch have no direct links. errors as GpuFacts
[[nodiscard]] std::map<std::string, std::string> GpuLinks(
    const std::vector<std::string>& pcis, const std::string& library = "libnvidia-ml.so.1");

}  // namespace dbsp::runtime
