// SPDX-License-Identifier: Apache-2.0
#include "replay/activity_report.h"

#include <algorithm>
#include <tuple>

namespace dbsp::replay {

ActivityReport ReportOf(const runtime::ActivityTrace& trace) {
  ActivityReport report;
  report.losses = runtime::Describe(trace.losses);
  std::int64_t tied = 0;
  for (const auto& [id, activity] : runtime::BySegment(trace)) {
    const std::optional<SegmentKey> key = UnpackSegment(id);
    if (!key) continue;
    report.segments.push_back({.key = *key,
                               .busy_ns = activity.busy_ns,
                               .kernels = activity.kernels,
                               .copies = activity.copies});
    tied += activity.kernels + activity.copies;
  }
  report.untied = std::ssize(trace.kernels) + std::ssize(trace.copies) - tied;
  std::ranges::sort(report.segments, {}, [](const SegmentBusy& segment) {
    return std::tuple(segment.key.rank, segment.key.kind, segment.key.index);
  });
  return report;
}

}  // namespace dbsp::replay
