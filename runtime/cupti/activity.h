// SPDX-License-Identifier: Apache-2.0
// What a device did, as a tracing library recorded it: kernels, copies and markers, each tied to
// the segment its launch was made for. Pure: it knows no vendor, no device and no plan.
//
// Every record that is not in the lists is in a count, so that a trace never looks whole when it is
// not: durations come from timed records only, and a record without times is never averaged as 0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace dbsp::runtime {

/// Number that the caller gave the work it launched (ActivitySession::Segment).
using SegmentId = std::uint64_t;

/// Times are nanoseconds on one clock of the trace, the device's mapped onto the host's.
struct Interval {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
};

struct KernelRecord {
  std::string name;
  Interval time;
  std::uint32_t device = 0;
  std::uint32_t stream = 0;
  std::uint32_t correlation = 0;  ///< of the call that launched it; one for a whole graph launch
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

/// A range or a point that the program named (NVTX).
struct MarkerRecord {
  std::string name;
  std::string domain;  ///< "" for the default one
  Interval time;  ///< of no length for a point
  std::uint32_t thread = 0;
  /// Set when every call made on its thread inside it carries this one segment.
  std::optional<SegmentId> segment;
};

/// Records that the lists lack, by reason.
struct ActivityLosses {
  std::int64_t dropped = 0;  ///< the library had no room for them
  std::int64_t untimed = 0;  ///< start or end was not collected, or the end lies before the start
  std::int64_t unpaired_markers = 0;  ///< ranges that the trace opens or closes only
  std::int64_t undecoded_bytes = 0;  ///< cut short, or of a kind that the library cannot step over
  std::int64_t other_kinds = 0;  ///< of kinds nobody asked for
  bool operator==(const ActivityLosses&) const = default;
  [[nodiscard]] bool any() const { return *this != ActivityLosses{}; }
};

/// "3 dropped, 1 untimed", "" when nothing was lost: for a trial's `detail`.
[[nodiscard]] std::string Describe(const ActivityLosses& losses);

struct ActivityTrace {
  std::vector<KernelRecord> kernels;  ///< by start
  std::vector<CopyRecord> copies;  ///< by start
  std::vector<MarkerRecord> markers;  ///< by start
  ActivityLosses losses;
};

/// What one segment did on the device.
struct SegmentActivity {
  Interval span;  ///< first start to last end
  std::int64_t busy_ns = 0;  ///< union of the kernels' and copies' intervals
  int kernels = 0;
  int copies = 0;
  std::int64_t copied_bytes = 0;
  std::uint32_t device = 0;  ///< of the first record; a segment is one device's
};

/// What one device did.
struct DeviceActivity {
  std::int64_t busy_ns = 0;  ///< union of the kernels' and copies' intervals, on all its streams
  std::int64_t exchange_ns = 0;  ///< the same of NCCL's kernels alone
  int kernels = 0;
  int copies = 0;
  int untied = 0;  ///< of these, of no segment
};

/// Kernels and copies by segment; those that carry none are left out.
[[nodiscard]] std::map<SegmentId, SegmentActivity> BySegment(const ActivityTrace& trace);

/// Kernels and copies by device. NCCL's kernels are known by their names: a communicator that does
/// not block launches them on a thread of its own, where the caller's segment does not reach.
[[nodiscard]] std::map<std::uint32_t, DeviceActivity> ByDevice(const ActivityTrace& trace);

/// Collects records in any order and ties them at the end, because the record that gives a call its
/// segment may lie in a later buffer than the kernel.
class ActivityCollector {
 public:
  /// One end of a marker; a point is one that is both.
  struct MarkerEvent {
    std::uint32_t id = 0;  ///< same for both ends
    bool start = false;
    bool end = false;
    std::int64_t time_ns = 0;
    std::uint32_t thread = 0;
    std::string name = {};  ///< "" at an end
    std::string domain = {};
  };

  /// Counted as untimed, and not kept, when a time is 0 or the end lies before the start.
  void Add(KernelRecord kernel);
  void Add(CopyRecord copy);
  void Add(MarkerEvent event);
  /// A call on the host: what markers are tied through.
  void AddCall(std::uint32_t correlation, std::uint32_t thread, Interval time);
  void AddSegment(std::uint32_t correlation, SegmentId segment);
  ActivityLosses& losses() { return trace_.losses; }

  /// Ties, sorts and hands over everything; the collector is empty afterwards.
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
