// SPDX-License-Identifier: Apache-2.0
// Attention of every rank while the ranks exchange, measured.
//
// The side that is not timed runs from before the timed one begins until after it has ended, on
// every rank; where it did not, the sample is discarded (profiler/ranks/lockstep_sampler.h). Values
// that were exchanged are checked at the end.
#pragma once

#include <functional>

#include "core/records.h"
#include "profiler/measure.h"
#include "profiler/ranks/nccl_trial.h"

namespace dbsp::profiler {

/// A rank is two threads, as in the replay over threads: one attends, one exchanges. Times are
/// those of a clock on the wall, alone as well.
/// errors  Error{kInvalidArgument} for a kernel, an op or an SM margin that the CPU does not have;
///         WrongResult
[[nodiscard]] Measurement MeasureOverlapOnThreads(const OverlapConfig& config,
                                                  const MeasureLimits& limits,
                                                  const std::function<bool()>& interrupted);

/// A rank is a GPU of this process, or of one of its own: a stream for its kernel, one for NCCL.
/// With an SM margin the kernel leaves so many SMs and NCCL takes at most as many. Times are those
/// of device events, of the slowest rank.
/// errors  Error{kUnavailable} with fewer devices than ranks, without NCCL, or for a kernel that
///         they do not run; Error{kInvalidArgument} for a margin that leaves no SM;
///         Error{kNotFound} for an unknown kernel; Error{kMeasurement} when a rank fails or the
///         deadline passes, after every rank has aborted; WrongResult
[[nodiscard]] Measurement MeasureOverlapOverNccl(const OverlapConfig& config,
                                                 const NcclWorld& world,
                                                 const MeasureLimits& limits,
                                                 const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
