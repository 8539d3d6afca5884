// SPDX-License-Identifier: Apache-2.0
// Measures attention of all ranks while they exchange, or exchanges while all ranks run attention.
//
// In a covered sample the work that is not timed runs from before the start to after the end of the
// timed work, on every rank; other samples are discarded (profiler/ranks/lockstep_sampler.h). The
// exchanged values are checked at the end.
#pragma once

#include <functional>

#include "core/records.h"
#include "profiler/measure.h"
#include "profiler/ranks/nccl_trial.h"

namespace dbsp::profiler {

/// On the CPU a rank is two threads, as in the replay over threads: one for attention, one for
/// exchanges. All times are wall times.
/// errors  Error{kInvalidArgument} for a kernel, an op or an SM margin that the CPU does not have;
///         WrongResult
[[nodiscard]] Measurement MeasureOverlapOnThreads(const OverlapConfig& config,
                                                  const MeasureLimits& limits,
                                                  const std::function<bool()>& interrupted);

/// A rank is a GPU, of this process or of a process per rank, with one stream for the attention
/// kernel and one for NCCL. With an SM margin the kernel leaves that many SMs free, and NCCL uses
/// at most that many. A sample is the slowest rank's time from device events. errors
/// Error{kUnavailable} with fewer devices than ranks, without NCCL, or for a kernel that the
///         devices do not run; Error{kInvalidArgument} for a margin that leaves no SM;
///         Error{kNotFound} for an unknown kernel; Error{kMeasurement} when a rank fails or the
///         deadline passes, after every rank has aborted; WrongResult
[[nodiscard]] Measurement MeasureOverlapOverNccl(const OverlapConfig& config,
                                                 const NcclWorld& world,
                                                 const MeasureLimits& limits,
                                                 const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
