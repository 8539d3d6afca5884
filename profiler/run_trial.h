// SPDX-License-Identifier: Apache-2.0
// Runs one trial under the conditions of a replay. On the CPU one thread computes the attention of
// all heads with buffers that are not in the cache, and exchanges run between one thread per rank.
// For CUDA devices see profiler/gpu/device_bench.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/records.h"
#include "profiler/gpu/device_bench.h"
#include "profiler/measure.h"
#include "profiler/ranks/nccl_trial.h"

namespace dbsp::profiler {

struct RunSettings {
  std::string suite = "quick";
  /// Number of ranks of a plan. An exchange between fewer ranks runs in as many groups as fit, at
  /// the same time.
  int ranks = 1;
  MeasureLimits limits = {};
  std::shared_ptr<const NcclWorld> nccl = {};  ///< devices for exchanges with transport "nccl"
  std::shared_ptr<DeviceBench> bench = {};  ///< for attention and local work; null: the CPU
  std::function<bool()> interrupted = [] { return false; };
};

/// Name of the method that times a configuration. It is stored with the trial. Two trials of one
/// configuration are comparable only when their methods are equal.
///   cpu.thread_time  attention and local work: core time of one thread
///   cpu.wall         exchanges: wall time from the first rank's start to the last rank's end,
///   after
///                    a barrier
///   cpu.wall.busyN   the same with all groups of N ranks in total exchanging at the same time, as
///                    the rings and head groups of U x R ranks do; from the first start to the last
///                    end of all groups. Not for allgather and reducescatter
///   nccl.wall20      profiler/ranks/nccl_trial.h; .busyN as above
///   cpu.wall.overlap, cuda.events.overlap  profiler/ranks/overlap_trial.h
///   cuda.events.*    attention and local where there is a bench, profiler/gpu/device_bench.h
[[nodiscard]] std::string MethodOf(const TrialConfig& config,
                                   int ranks,
                                   const NcclWorld* nccl = nullptr,
                                   const DeviceBench* bench = nullptr);

/// Runs a trial; returns nothing when interrupted. Errors become the trial's outcome and detail, so
/// that one bad trial does not end a run.
/// samples  time of one call; for calls shorter than kShortestSampleNs the mean of several calls,
///          whose number is in the detail
/// memory   calls use several sets of buffers in turn (CopiesFor)
[[nodiscard]] std::optional<Trial> RunTrial(const TrialConfig& config, const RunSettings& settings);

}  // namespace dbsp::profiler
