// SPDX-License-Identifier: Apache-2.0
// What NVML knows of GPUs that measurements hang on: clocks, power limit, ECC, MIG, links. For
// provenance: each fact is text by name, and one that a device or driver does not give is left out.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace dbsp::runtime {

/// Of the GPU at `pci` ("0000:17:00.0"; of a MIG device the GPU it is a part of):
///   gpu_vbios, gpu_ecc ("on", "off"; "on, off after reboot"), gpu_mig (as gpu_ecc),
///   gpu_sm_clock_mhz, gpu_memory_clock_mhz (now), gpu_sm_clock_max_mhz, gpu_memory_clock_max_mhz,
///   gpu_sm_clock_application_mhz, gpu_power_limit_w (what holds), gpu_power_limit_default_w,
///   gpu_temperature_c, gpu_clock_events ("none", "power cap, thermal slowdown"),
///   gpu_nvlinks (active ones)
/// errors  Error{kUnavailable} with NVML's own words: no NVML, no such device
[[nodiscard]] std::map<std::string, std::string> GpuFacts(
    const std::string& pci, const std::string& library = "libnvidia-ml.so.1");

/// Of every pair a < b of the GPUs, which are counted as in `pcis`: "gpu_link_0_1" = "read ok,
/// write ok, nvlink ok, 18 direct links"; what is not ok says why. Behind a switch no link is
/// direct. errors  as GpuFacts
[[nodiscard]] std::map<std::string, std::string> GpuLinks(
    const std::vector<std::string>& pcis, const std::string& library = "libnvidia-ml.so.1");

}  // namespace dbsp::runtime
