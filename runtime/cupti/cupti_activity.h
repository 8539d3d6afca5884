// SPDX-License-Identifier: Apache-2.0
// Traces kernels, copies and markers of this process with CUPTI Activity. In a build without
// cupti.h the functions that make these objects throw. Tracing slows down every launch, so measured
// times come from events, and traces are taken in a separate run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/cupti/activity.h"

namespace dbsp::runtime {

/// Decodes buffers of activity records that CUPTI has filled.
/// threads  const members are safe concurrently on different collectors
class ActivityDecoder {
 public:
  /// Opens CUPTI 13, which gives the size of every kind of record.
  /// errors  Error{kUnavailable} as CuptiLibrary::Load
  static ActivityDecoder Load(const std::string& library = "libcupti.so.13");
  ~ActivityDecoder();
  ActivityDecoder(ActivityDecoder&&) noexcept;
  ActivityDecoder& operator=(ActivityDecoder&&) noexcept;

  /// Adds the records of one buffer. Bytes that cannot be decoded are counted in the collector's
  /// losses.
  /// requires the buffer is aligned to 8 bytes, and the strings of its records are alive
  void Decode(std::span<const std::byte> buffer, ActivityCollector& collector) const;

 private:
  struct Api;
  explicit ActivityDecoder(std::unique_ptr<Api> api);
  std::unique_ptr<Api> api_;
};

struct ActivityOptions {
  std::size_t buffer_bytes = std::size_t{4} << 20;
  /// Memory for records. When it is full, CUPTI drops records, and the trace counts them.
  std::size_t most_bytes = std::size_t{512} << 20;
  std::string library = "libcupti.so.13";
};

/// A trace of this process. CUPTI allows one at a time, and none beside another profiler.
/// threads  Segment on any thread that launches; the rest on one thread
class ActivitySession {
  struct Impl;

 public:
  /// Starts tracing.
  /// errors  Error{kUnavailable} that names the call: no CUPTI, another profiler, no driver;
  ///         Error{kInternal} while another session exists
  static ActivitySession Start(const ActivityOptions& options = {});
  /// Ends the trace without Stop() and discards its records.
  ~ActivitySession();
  ActivitySession(ActivitySession&&) noexcept;
  ActivitySession& operator=(ActivitySession&&) = delete;

  /// During the object's lifetime, work that its thread launches belongs to segment `id`. The
  /// innermost object counts. It must end on the same thread and before the session.
  class Segment {
   public:
    /// errors  Error{kUnavailable} with CUPTI's error text
    Segment(const ActivitySession& session, SegmentId id);
    ~Segment();
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;

   private:
    const Impl* impl_;
  };

  /// Ends the trace, detaches CUPTI from the process and returns the records.
  /// requires the device has finished the traced work (synchronise first): CUPTI does not wait, and
  ///          unfinished work would have no times
  /// errors   Error{kUnavailable} with CUPTI's error text; Error{kInternal} when called twice
  [[nodiscard]] ActivityTrace Stop();

 private:
  explicit ActivitySession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbsp::runtime
