// SPDX-License-Identifier: Apache-2.0
// Runs one configuration as replay runs it. On the CPU attention of all heads is on one thread with
// buffers that were not just used, exchanges are between as many threads as ranks; on a CUDA device
// see profiler/gpu/device_bench.h.
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
  /// Ranks that a plan would have: exchanges among fewer run as that many groups side by side.
  int ranks = 1;
  MeasureLimits limits = {};
  std::shared_ptr<const NcclWorld> nccl = {};  ///< devices of exchanges whose transport is "nccl"
  std::shared_ptr<DeviceBench> bench = {};  ///< where attention and local work run; null: the CPU
  std::function<bool()> interrupted = [] { return false; };
};

/// How a configuration is timed; stored with the trial, and two trials of one configuration are the
/// same measurement only when it is equal:
///   cpu.thread_time  attention and local: the core's time of one thread
///   cpu.wall         exchange, from the first rank's start to the last rank's end, all released by
///                    a barrier; nothing else runs
///   cpu.wall.busyN   the same while the other groups of N ranks in all do the same, as the rings
///                    and head groups of U x R ranks do; from the first start to the last end of
///                    all groups. Not for allgather and reducescatter.
///   nccl.wall20      profiler/ranks/nccl_trial.h; .busyN as above
///   cpu.wall.overlap, cuda.events.overlap  profiler/ranks/overlap_trial.h
///   cuda.events.*    attention and local where there is a bench, profiler/gpu/device_bench.h
[[nodiscard]] std::string MethodOf(const TrialConfig& config,
                                   int ranks,
                                   const NcclWorld* nccl = nullptr,
                                   const DeviceBench* bench = nullptr);

/// The finished trial; nothing when interrupted. What goes wrong with one configuration becomes its
/// outcome (kFailed, detail), so that one bad trial does not end a run.
/// samples  time of one call; where calls are shorter than kShortestSampleNs, the mean of as many
///          as fill it, which the detail says
/// memory   buffers take turns (CopiesFor)
[[nodiscard]] std::optional<Trial> RunTrial(const TrialConfig& config, const RunSettings& settings);

}  // namespace dbsp::profiler
