// SPDX-License-Identifier: Apache-2.0
// NVML's performance monitoring (GPM), which Hopper and later devices have and which needs no
// rights: shares of peak of everything on the device between two moments.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace dbsp::runtime {

/// Percent of peak while `run` goes on, by name: "sm_util", "sm_occupancy", "any_tensor_util",
/// "hmma_tensor_util", "dram_bw_util"; those that the driver does not give are left out. The driver
/// refreshes its counts about ten times a second: a shorter run reads as what was there before it.
/// pci     "0000:17:00.0"; of a MIG device the GPU it is a part of
/// errors  Error{kUnavailable}: no NVML, a driver or device without GPM; whatever run throws
[[nodiscard]] std::map<std::string, double> MeasureGpm(
    const std::string& pci,
    const std::function<void()>& run,
    const std::string& library = "libnvidia-ml.so.1");

}  // namespace dbsp::runtime
