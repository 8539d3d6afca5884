// SPDX-License-Identifier: Apache-2.0
// One rank of attention and exchanges that run at the same time: its GPU, a stream for the
// attention kernel, a stream for NCCL, and its memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/records.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// All ranks must make the same calls in the same order. The object must outlive the communicator,
/// because its memory may be freed only when no exchange is running.
/// errors   Error{kMeasurement} as the communicator, and when enqueueing waits for the device
/// threads  the thread that opened it
class OverlapRank {
 public:
  virtual ~OverlapRank() = default;
  /// The stream with which to join the communicator.
  [[nodiscard]] virtual runtime::NcclQueue Queue() = 0;
  /// Runs both sides once and connects the ranks.
  virtual void WarmUp(runtime::NcclCommunicator& communicator) = 0;
  /// Nanoseconds of the timed work alone.
  [[nodiscard]] virtual std::int64_t Alone(runtime::NcclCommunicator& communicator) = 0;
  /// Nanoseconds of the timed work while the other work runs, once and then `repeats` times more;
  /// nothing when the sample is not covered.
  [[nodiscard]] virtual std::optional<std::int64_t> Beside(runtime::NcclCommunicator& communicator,
                                                           int repeats) = 0;
  /// Checks the values that were exchanged and computed last. Returns what is wrong.
  [[nodiscard]] virtual std::optional<std::string> Wrong() const = 0;
};

/// Makes `device` current on this thread.
/// errors  Error{kUnavailable} without the device or for a kernel that it does not run;
///         Error{kNotFound} for an unknown kernel; Error{kInvalidArgument} for a margin that leaves
///         no SM
[[nodiscard]] std::unique_ptr<OverlapRank> OpenOverlapRank(const OverlapConfig& config,
                                                           int rank,
                                                           int device);

/// Options with NCCL limited to as many thread blocks as the SM margin, if there is one.
[[nodiscard]] runtime::NcclOptions OverlapOptions(runtime::NcclOptions options,
                                                  const OverlapConfig& config);

}  // namespace dbsp::profiler
