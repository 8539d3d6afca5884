// SPDX-License-Identifier: Apache-2.0
#include "runtime/cupti/activity.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dbsp::runtime {
namespace {

/// In CUPTI's records a time of 0 means "not collected".
bool Timed(const Interval& time) {
  return time.start_ns > 0 && time.end_ns > 0 && time.start_ns <= time.end_ns;
}

template <typename Record>
void SortByStart(std::vector<Record>& records) {
  std::stable_sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
    return a.time.start_ns < b.time.start_ns;
  });
}

/// Length of the union of `times`. Sorts them.
std::int64_t UnionLength(std::vector<Interval>& times) {
  std::sort(times.begin(), times.end(), [](const Interval& a, const Interval& b) {
    return a.start_ns < b.start_ns;
  });
  std::int64_t length = 0;
  std::int64_t covered_to = 0;
  for (const Interval& time : times) {
    const std::int64_t from = std::max(time.start_ns, covered_to);
    length += std::max<std::int64_t>(time.end_ns - from, 0);
    covered_to = std::max(covered_to, time.end_ns);
  }
  return length;
}

}  // namespace

std::string Describe(const ActivityLosses& losses) {
  const std::pair<std::int64_t, const char*> parts[] = {
      {losses.dropped, "dropped"},
      {losses.untimed, "untimed"},
      {losses.unpaired_markers, "unpaired markers"},
      {losses.undecoded_bytes, "bytes not decoded"},
      {losses.other_kinds, "of other kinds"}};
  std::string text;
  for (const auto& [count, words] : parts) {
    if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, words);
  }
  return text;
}

std::map<SegmentId, SegmentActivity> BySegment(const ActivityTrace& trace) {
  std::map<SegmentId, SegmentActivity> segments;
  std::map<SegmentId, std::vector<Interval>> times;
  const auto add = [&](const auto& record) -> SegmentActivity* {
    if (!record.segment) return nullptr;
    std::vector<Interval>& seen = times[*record.segment];
    SegmentActivity& activity = segments[*record.segment];
    if (seen.empty()) {
      activity.span = record.time;
      activity.device = record.device;
    }
    activity.span.start_ns = std::min(activity.span.start_ns, record.time.start_ns);
    activity.span.end_ns = std::max(activity.span.end_ns, record.time.end_ns);
    seen.push_back(record.time);
    return &activity;
  };
  for (const KernelRecord& kernel : trace.kernels) {
    if (SegmentActivity* activity = add(kernel)) ++activity->kernels;
  }
  for (const CopyRecord& copy : trace.copies) {
    if (SegmentActivity* activity = add(copy)) {
      ++activity->copies;
      activity->copied_bytes += copy.bytes;
    }
  }
  for (auto& [segment, activity] : segments) activity.busy_ns = UnionLength(times[segment]);
  return segments;
}

std::map<std::uint32_t, DeviceActivity> ByDevice(const ActivityTrace& trace) {
  std::map<std::uint32_t, DeviceActivity> devices;
  std::map<std::uint32_t, std::vector<Interval>> all;
  std::map<std::uint32_t, std::vector<Interval>> exchanges;
  const auto add = [&](const auto& record) -> DeviceActivity& {
    DeviceActivity& device = devices[record.device];
    all[record.device].push_back(record.time);
    device.untied += record.segment ? 0 : 1;
    return device;
  };
  for (const KernelRecord& kernel : trace.kernels) {
    ++add(kernel).kernels;
    if (kernel.name.starts_with("nccl")) exchanges[kernel.device].push_back(kernel.time);
  }
  for (const CopyRecord& copy : trace.copies) ++add(copy).copies;
  for (auto& [id, device] : devices) {
    device.busy_ns = UnionLength(all[id]);
    device.exchange_ns = UnionLength(exchanges[id]);
  }
  return devices;
}

void ActivityCollector::Add(KernelRecord kernel) {
  if (Timed(kernel.time)) {
    trace_.kernels.push_back(std::move(kernel));
  } else {
    ++trace_.losses.untimed;
  }
}

void ActivityCollector::Add(CopyRecord copy) {
  if (Timed(copy.time)) {
    trace_.copies.push_back(std::move(copy));
  } else {
    ++trace_.losses.untimed;
  }
}

void ActivityCollector::Add(MarkerEvent event) {
  if (event.time_ns > 0) {
    marker_events_.push_back(std::move(event));
  } else {
    ++trace_.losses.untimed;
  }
}

void ActivityCollector::AddCall(std::uint32_t correlation, std::uint32_t thread, Interval time) {
  if (Timed(time)) calls_[thread].push_back({correlation, time});
}

void ActivityCollector::AddSegment(std::uint32_t correlation, SegmentId segment) {
  segments_[correlation] = segment;
}

std::optional<SegmentId> ActivityCollector::SegmentOf(std::uint32_t correlation) const {
  const auto found = segments_.find(correlation);
  if (found == segments_.end()) return std::nullopt;
  return found->second;
}

std::optional<SegmentId> ActivityCollector::SegmentOf(const MarkerRecord& marker) const {
  const auto calls = calls_.find(marker.thread);
  if (calls == calls_.end()) return std::nullopt;
  // Finish() sorted the calls of each thread by start.
  auto call = std::lower_bound(
      calls->second.begin(),
      calls->second.end(),
      marker.time.start_ns,
      [](const Call& a, std::int64_t start_ns) { return a.time.start_ns < start_ns; });
  std::optional<SegmentId> segment;
  for (bool first = true; call != calls->second.end(); ++call, first = false) {
    if (call->time.start_ns > marker.time.end_ns) break;
    const std::optional<SegmentId> one = SegmentOf(call->correlation);
    if (!one || (!first && one != segment)) return std::nullopt;
    segment = one;
  }
  return segment;
}

void ActivityCollector::PairMarkers() {
  // Both ends have the marker's id. The buffers of different threads arrive in any order.
  std::unordered_map<std::uint32_t, MarkerEvent*> starts;
  for (MarkerEvent& event : marker_events_) {
    if (event.start && !event.end) starts[event.id] = &event;
  }
  for (MarkerEvent& event : marker_events_) {
    if (event.start && event.end) {
      trace_.markers.push_back({.name = std::move(event.name),
                                .domain = std::move(event.domain),
                                .time = {event.time_ns, event.time_ns},
                                .thread = event.thread,
                                .segment = {}});
    } else if (event.end) {
      const auto start = starts.find(event.id);
      if (start == starts.end() || start->second->time_ns > event.time_ns) {
        ++trace_.losses.unpaired_markers;
        continue;
      }
      MarkerEvent& begun = *start->second;
      trace_.markers.push_back({.name = std::move(begun.name),
                                .domain = std::move(begun.domain),
                                .time = {begun.time_ns, event.time_ns},
                                .thread = begun.thread,
                                .segment = {}});
      starts.erase(start);
    }
  }
  trace_.losses.unpaired_markers += static_cast<std::int64_t>(starts.size());
}

ActivityTrace ActivityCollector::Finish() {
  for (auto& [thread, calls] : calls_) {
    std::sort(calls.begin(), calls.end(), [](const Call& a, const Call& b) {
      return a.time.start_ns < b.time.start_ns;
    });
  }
  PairMarkers();
  for (KernelRecord& kernel : trace_.kernels) kernel.segment = SegmentOf(kernel.correlation);
  for (CopyRecord& copy : trace_.copies) copy.segment = SegmentOf(copy.correlation);
  for (MarkerRecord& marker : trace_.markers) marker.segment = SegmentOf(marker);
  SortByStart(trace_.kernels);
  SortByStart(trace_.copies);
  SortByStart(trace_.markers);
  ActivityTrace finished = std::move(trace_);
  *this = ActivityCollector();
  return finished;
}

}  // namespace dbsp::runtime
