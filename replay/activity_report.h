// SPDX-License-Identifier: Apache-2.0
// CUPTI activity of one replayed cell, summed by segment and device, and the overhead of collecting
// it.
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

/// Time that the device spent in kernels and copies of one segment, without the gaps between them.
/// The segment's time by events minus this time is launch overhead.
struct SegmentBusy {
  SegmentKey key;
  std::int64_t busy_ns = 0;
  int kernels = 0;
  int copies = 0;
  std::uint32_t device = 0;
};

/// Times of the same launches with and without CUPTI Activity, measured alternately.
struct TraceOverhead {
  int pairs = 0;
  std::int64_t plain_ns = 0;  ///< median time from the first segment's start to the last one's end
  std::int64_t traced_ns = 0;
  /// traced / plain - 1
  [[nodiscard]] double relative() const;
};

/// Largest relative overhead at which traced times count as undisturbed.
inline constexpr double kMostTraceOverhead = 0.03;

struct ActivityReport {
  std::string problem = {};  ///< the reason why nothing was traced; "" after a trace
  std::string losses = {};  ///< text that names lost records; "" when the trace is complete
  std::vector<SegmentBusy> segments = {};  ///< by rank, kind, index
  /// Number of kernels and copies that belong to no segment, such as copies between ranks and
  /// kernels of NCCL.
  std::int64_t untied = 0;
  std::map<std::uint32_t, runtime::DeviceActivity> devices = {};
  std::optional<TraceOverhead> overhead = {};
};

[[nodiscard]] ActivityReport ReportOf(const runtime::ActivityTrace& trace);

/// Runs a cell `runs` times and waits for the devices. Where `session` is not null, every launch is
/// tagged with its segment. Returns the time of the last run in ns, by events.
using RunCell = std::function<std::int64_t(const runtime::ActivitySession* session, int runs)>;

/// Traces one run for the report, then measures pairs of runs, with and without tracing, for the
/// overhead. A run that is not timed precedes every timed run, because the first launches after
/// CUPTI was attached or detached are slower. Every second pair begins with the traced run.
/// returns a report with `problem` set when CUPTI is absent or held by another profiler
/// errors  the errors of `run` other than kUnavailable
[[nodiscard]] ActivityReport TraceCell(const runtime::ActivityOptions& options, const RunCell& run);

}  // namespace dbsp::replay
