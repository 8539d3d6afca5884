// SPDX-License-Identifier: Apache-2.0
// Measures exchanges over NCCL as nccl-tests does. The ranks are threads of this process or
// processes, with one GPU each.
#pragma once

#include <functional>
#include <string>

#include "core/records.h"
#include "profiler/measure.h"
#include "profiler/ranks/nccl_world.h"

namespace dbsp::profiler {

/// Name of the method, for Trial::method.
///   nccl.events20      the slowest rank's time between events of its device around 20 exchanges in
///                      a row, divided by 20. The stream is held until all are enqueued, and a
///                      barrier of all devices precedes them
///   nccl.wall20        by the host's clock, ranks are threads: the host's time of 20 exchanges in
///   a row, from the first
///                      rank's start to the last rank's end, divided by 20
///   nccl.slowest20     by the host's clock, ranks are processes: the slowest rank's own time of 20
///   exchanges after a
///                      barrier, divided by 20; clocks of several hosts cannot be compared
///   nccl.events20.ctas8  as above, with NCCL limited to 8 SMs
[[nodiscard]] std::string NcclMethod(const NcclWorld& world);

/// Measures an exchange between `size` ranks.
/// errors  Error{kUnavailable} with fewer devices than `size`, or without NCCL; Error{kMeasurement}
///         when a rank fails or the deadline passes, after every rank has aborted
[[nodiscard]] Measurement MeasureNccl(const ExchangeConfig& config,
                                      int size,
                                      const NcclWorld& world,
                                      const MeasureLimits& limits,
                                      const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
