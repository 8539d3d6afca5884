// SPDX-License-Identifier: Apache-2.0
// Runs one configuration on the CPU as replay runs it: attention of all heads on one thread with
// buffers that were not just used, exchanges between as many threads as ranks.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/records.h"
#include "profiler/measure.h"

namespace dbsp::profiler {

/// The finished trial; nothing when interrupted. What goes wrong with one configuration becomes its
/// outcome (kFailed, detail), so that one bad trial does not end a run.
/// method  "cpu.thread_time": attention and local, the core's time of one thread; "cpu.wall":
///         exchange, from the first rank's start to the last rank's end, released by a barrier
/// memory  buffers are rotated until kColdBytes are in turn, so that none is wholly in the cache
[[nodiscard]] std::optional<Trial> RunTrial(const TrialConfig& config,
                                            const std::string& suite,
                                            const MeasureLimits& limits,
                                            const std::function<bool()>& interrupted);

}  // namespace dbsp::profiler
