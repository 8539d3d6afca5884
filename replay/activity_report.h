// SPDX-License-Identifier: Apache-2.0
// What CUPTI saw of one run of a cell, by segment and device, and what its looking costs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/segment_id.h"
#include "runtime/cupti/activity.h"
#include "runtime/cupti/cupti_activity.h"

namespace dbsp::replay {

/// How long the device was at work for one segment: its kernels and copies without what lies
/// between them. The difference to the segment's time by events is launch gaps.
struct SegmentBusy {
  SegmentKey key;
  std::int64_t busy_ns = 0;
  int kernels = 0;
  int copies = 0;
  std::uint32_t device = 0;  ///< that did it
};

/// Runs with CUPTI Activity beside runs without, in turns, of the same launches.
struct TraceOverhead {
  int pairs = 0;
  std::int64_t plain_ns = 0;  ///< median, from the first segment's start to the last one's end
  std::int64_t traced_ns = 0;
  /// traced / plain - 1
  [[nodiscard]] double relative() const;
};

/// What tracing may cost a replay.
inline constexpr double kMostTraceOverhead = 0.03;

struct ActivityReport {
  std::string problem = {};  ///< why nothing was traced; "" when it was
  std::string losses = {};  ///< records that the trace lacks, in words; "" when it is whole
  std::vector<SegmentBusy> segments = {};  ///< by rank, kind, index
  /// Kernels and copies of no segment, such as copies between ranks and kernels of NCCL.
  std::int64_t untied = 0;
  std::map<std::uint32_t, runtime::DeviceActivity> devices = {};
  std::optional<TraceOverhead> overhead = {};
};

[[nodiscard]] ActivityReport ReportOf(const runtime::ActivityTrace& trace);

/// Plays a cell `runs` times, what it launches tied to segments of `session` where that is not
/// null; waits for the devices. returns ns of the last run, by events.
using PlayCell = std::function<std::int64_t(const runtime::ActivitySession* session, int runs)>;

/// One run under a session of its own, for the report; then pairs of runs for the overhead. Each of
/// these follows a run that is not timed, for the first launches after CUPTI has come or gone are
/// slower than all others, and every second pair begins with the traced run.
/// errors  a report with the problem where CUPTI is absent or held by another profiler, also while
///         ranks run; as `play` else
[[nodiscard]] ActivityReport TraceCell(const runtime::ActivityOptions& options,
                                       const PlayCell& play);

}  // namespace dbsp::replay
