// SPDX-License-Identifier: Apache-2.0
// NVML's performance monitoring (GPM) of Hopper and later devices, which needs no privileges:
// percent of peak between two points in time, of all work on the device.
#pragma once

#include <functional>
#include <map>
#include <string>

namespace dbsp::runtime {

/// Percent of peak during `run`, by name: "sm_util", "sm_occupancy", "any_tensor_util",
/// "hmma_tensor_util", "dram_bw_util", without those that the driver does not report. The driver
/// updates its counts about ten times a second, so a shorter run may show earlier work.
/// pci     "0000:17:00.0"; for a MIG device, of its GPU
/// errors  Error{kUnavailable}: no NVML, a driver or device without GPM; errors of `run`
[[nodiscard]] std::map<std::string, double> MeasureGpm(
    const std::string& pci,
    const std::function<void()>& run,
    const std::string& library = "libnvidia-ml.so.1");

}  // namespace dbsp::runtime
