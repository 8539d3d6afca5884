// SPDX-License-Identifier: Apache-2.0
#include "replay/activity_report.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/statistics.h"

namespace dbsp::replay {
namespace {

constexpr int kPairs = 5;

TraceOverhead MeasureOverhead(const runtime::ActivityOptions& options, const PlayCell& play) {
  std::vector<std::int64_t> plain;
  std::vector<std::int64_t> traced;
  const auto with = [&] {
    runtime::ActivitySession session = runtime::ActivitySession::Start(options);
    traced.push_back(play(&session, 2));
    (void)session.Stop();
  };
  const auto without = [&] { plain.push_back(play(nullptr, 2)); };
  for (int pair = 0; pair < kPairs; ++pair) {
    if (pair % 2 == 1) with();
    without();
    if (pair % 2 == 0) with();
  }
  return {.pairs = kPairs,
          .plain_ns = std::llround(Median(plain)),
          .traced_ns = std::llround(Median(traced))};
}

}  // namespace

double TraceOverhead::relative() const {
  return plain_ns > 0 ? static_cast<double>(traced_ns) / static_cast<double>(plain_ns) - 1 : 0;
}

ActivityReport TraceCell(const runtime::ActivityOptions& options, const PlayCell& play) {
  try {
    runtime::ActivitySession session = runtime::ActivitySession::Start(options);
    (void)play(&session, 1);
    ActivityReport report = ReportOf(session.Stop());
    report.overhead = MeasureOverhead(options, play);
    return report;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    return {.problem = error.what()};
  }
}

ActivityReport ReportOf(const runtime::ActivityTrace& trace) {
  ActivityReport report;
  report.losses = runtime::Describe(trace.losses);
  report.devices = runtime::ByDevice(trace);
  std::int64_t tied = 0;
  for (const auto& [id, activity] : runtime::BySegment(trace)) {
    const std::optional<SegmentKey> key = UnpackSegment(id);
    if (!key) continue;
    report.segments.push_back({.key = *key,
                               .busy_ns = activity.busy_ns,
                               .kernels = activity.kernels,
                               .copies = activity.copies,
                               .device = activity.device});
    tied += activity.kernels + activity.copies;
  }
  report.untied = std::ssize(trace.kernels) + std::ssize(trace.copies) - tied;
  std::ranges::sort(report.segments, {}, [](const SegmentBusy& segment) {
    return std::tuple(segment.key.rank, segment.key.kind, segment.key.index);
  });
  return report;
}

}  // namespace dbsp::replay
