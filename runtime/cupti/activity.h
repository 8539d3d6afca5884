// SPDX-License-Identifier: Apache-2.0
// A trace of a device's activity: kernels, copies and markers, each assigned to the segment that
// launched it. Pure: it knows no vendor, no device and no plan.
//
// Records that are missing from the lists are counted, so that an incomplete trace is recognised.
// Durations come from records with times only; a record without times never counts as 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace dbsp::runtime {

/// The caller's number for the work that it launches (ActivitySession::Segment).
using SegmentId = std::uint64_t;

/// Times are nanoseconds on the host's clock; the tracing library converts the device's clock.
struct Interval {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
};

struct KernelRecord {
  std::string name;
  Interval time;
  std::uint32_t device = 0;
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;  ///< id of the launching call; a graph launch has one id
  std::int32_t grid[3] = {1, 1, 1};
  std::int32_t block[3] = {1, 1, 1};
  std::int32_t registers_per_thread = 0;
  std::int64_t shared_bytes = 0;  ///< static and dynamic
  std::optional<SegmentId> segment;
};

struct CopyRecord {
  std::string kind;  ///< "host to device", "device to device", "peer to peer", "set", ...
  Interval time;
  std::uint32_t device = 0;
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;
  std::int64_t bytes = 0;
  std::optional<SegmentId> segment;
};

/// A named range or point in the program (NVTX).
struct MarkerRecord {
  std::string name;
  std::string domain;  ///< "" for the default one
  Interval time;  ///< start equals end for a point
  std::uint32_t thread = 0;
  /// Set when every call on its thread inside the range belongs to this one segment.
  std::optional<SegmentId> segment;
};

/// Number of records that are missing from the lists, by reason.
struct ActivityLosses {
  std::int64_t dropped = 0;  ///< the tracing library ran out of memory for records
  std::int64_t untimed = 0;  ///< no start or end time, or the end lies before the start
  std::int64_t unpaired_markers = 0;  ///< ranges with only one end in the trace
  std::int64_t undecoded_bytes = 0;  ///< incomplete records, or of kinds unknown to the library
  std::int64_t other_kinds = 0;  ///< of kinds that were not requested
  bool operator==(const ActivityLosses&) const = default;
  [[nodiscard]] bool any() const { return *this != ActivityLosses{}; }
};

/// "3 dropped, 1 untimed"; "" when nothing was lost. For a trial's `detail`.
[[nodiscard]] std::string Describe(const ActivityLosses& losses);

struct ActivityTrace {
  std::vector<KernelRecord> kernels;  ///< by start
  std::vector<CopyRecord> copies;  ///< by start
  std::vector<MarkerRecord> markers;  ///< by start
  ActivityLosses losses;
};

/// The activity of one segment on its device.
struct SegmentActivity {
  Interval span;  ///< first start to last end
  std::int64_t busy_ns = 0;  ///< union of the kernels' and copies' intervals
  int kernels = 0;
  int copies = 0;
  std::int64_t copied_bytes = 0;
  std::uint32_t device = 0;  ///< of the first record; a segment uses one device
};

/// The activity of one device.
struct DeviceActivity {
  std::int64_t busy_ns = 0;  ///< union of the kernels' and copies' intervals, on all its streams
  std::int64_t exchange_ns = 0;  ///< the same for NCCL's kernels only
  int kernels = 0;
  int copies = 0;
  int untied = 0;  ///< kernels and copies without a segment
};

/// Kernels and copies by segment, without those that have none.
[[nodiscard]] std::map<SegmentId, SegmentActivity> BySegment(const ActivityTrace& trace);

/// Kernels and copies by device. NCCL's kernels are recognised by their names, because a
/// non-blocking communicator launches them on its own thread, without the caller's segment.
[[nodiscard]] std::map<std::uint32_t, DeviceActivity> ByDevice(const ActivityTrace& trace);

/// Collects records in any order and assigns segments at the end, because the record with a call's
/// segment may be in a later buffer than the kernel.
class ActivityCollector {
 public:
  /// One end of a marker. A point is both ends.
  struct MarkerEvent {
    std::uint32_t id = 0;  ///< equal at both ends
    bool start = false;
    bool end = false;
    std::int64_t time_ns = 0;
    std::uint32_t thread = 0;
    std::string name = {};  ///< "" at an end
    std::string domain = {};
  };

  /// Adds a record. One with a time of 0 or an end before its start is only counted as untimed.
  void Add(KernelRecord kernel);
  void Add(CopyRecord copy);
  void Add(MarkerEvent event);
  /// Adds a call on the host, through which markers get their segments.
  void AddCall(std::uint32_t correlation, std::uint32_t thread, Interval time);
  void AddSegment(std::uint32_t correlation, SegmentId segment);
  ActivityLosses& losses() { return trace_.losses; }

  /// Assigns segments, sorts and returns all records. The collector is empty afterwards.
  [[nodiscard]] ActivityTrace Finish();

 private:
  struct Call {
    std::uint32_t correlation = 0;
    Interval time;
  };
  void PairMarkers();
  [[nodiscard]] std::optional<SegmentId> SegmentOf(std::uint32_t correlation) const;
  [[nodiscard]] std::optional<SegmentId> SegmentOf(const MarkerRecord& marker) const;

  ActivityTrace trace_;
  std::vector<MarkerEvent> marker_events_;
  std::unordered_map<std::uint32_t, std::vector<Call>> calls_;  ///< by thread
  std::unordered_map<std::uint32_t, SegmentId> segments_;  ///< by correlation
};

}  // namespace dbsp::runtime
