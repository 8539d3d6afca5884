// SPDX-License-Identifier: Apache-2.0
// Traces kernels, copies and markers of this process with CUPTI Activity. Without cupti.h at build
// time the same classes answer that they were not built. Tracing costs the host time at every
// launch: numbers that are compared come from events, traces from a pass of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/cupti/activity.h"

namespace dbsp::runtime {

/// Reads buffers of activity records as CUPTI fills them.
/// threads  const members are safe concurrently on different collectors
class ActivityDecoder {
 public:
  /// Opens CUPTI 13, which knows the size of every kind of record.
  /// errors  Error{kUnavailable} as CuptiLibrary::Load
  static ActivityDecoder Load(const std::string& library = "libcupti.so.13");
  ~ActivityDecoder();
  ActivityDecoder(ActivityDecoder&&) noexcept;
  ActivityDecoder& operator=(ActivityDecoder&&) noexcept;

  /// Adds the records of one buffer; what cannot be read is counted in the collector's losses.
  /// requires the buffer is aligned to 8 bytes, and the strings its records point to are alive
  void Decode(std::span<const std::byte> buffer, ActivityCollector& collector) const;

 private:
  struct Api;
  explicit ActivityDecoder(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

struct ActivityOptions {
  std::size_t buffer_bytes = std::size_t{4} << 20;
  /// Memory for records; past it CUPTI drops them, and the trace says how many.
  std::size_t most_bytes = std::size_t{512} << 20;
  std::string library = "libcupti.so.13";
};

/// One trace of this process; CUPTI allows one at a time, in a process that no other profiler
/// holds. threads  Segment on any thread that launches, the rest on one
class ActivitySession {
  struct Impl;

 public:
  /// Starts tracing.
  /// errors  Error{kUnavailable} naming the call: CUPTI absent, another profiler attached, no
  ///         driver; Error{kInternal} while another session lives
  static ActivitySession Start(const ActivityOptions& options = {});
  /// Ends the trace if Stop() has not, and throws its records away.
  ~ActivitySession();
  ActivitySession(ActivitySession&&) noexcept;
  ActivitySession& operator=(ActivitySession&&) = delete;

  /// While it lives, what its thread launches belongs to segment `id`; the innermost one counts.
  /// It must end on the same thread and before the session does.
  class Segment {
   public:
    /// errors  Error{kUnavailable} with CUPTI's own words
    Segment(const ActivitySession& session, SegmentId id);
    ~Segment();
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;

   private:
    const Impl* impl_;
  };

  /// Ends the trace, detaches CUPTI from the process and returns what was recorded.
  /// requires the device has finished the traced work (synchronise first): CUPTI does not wait, and
  ///          what still runs would come back untimed
  /// errors   Error{kUnavailable} with CUPTI's own words; Error{kInternal} when called twice
  [[nodiscard]] ActivityTrace Stop();

 private:
  explicit ActivitySession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbsp::runtime
