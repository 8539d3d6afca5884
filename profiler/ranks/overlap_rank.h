// SPDX-License-Identifier: Apache-2.0
// One rank's end of attention and exchanges that run at once: its GPU, a stream for its kernel, one
// for NCCL, its memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/records.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::profiler {

/// It outlives the communicator, because memory is freed only when no exchange is under way any
/// more. All ranks make the same calls in the same order.
/// errors   Error{kMeasurement} as the communicator's, and where what is enqueued waits for the
///          device
/// threads  the one that opened it
class OverlapRank {
 public:
  virtual ~OverlapRank() = default;
  /// What its communicator is to be joined with.
  [[nodiscard]] virtual runtime::NcclQueue Queue() = 0;
  /// Runs both sides once and connects the ranks.
  virtual void WarmUp(runtime::NcclCommunicator& communicator) = 0;
  /// Nanoseconds of the timed side with nothing beside it.
  [[nodiscard]] virtual std::int64_t Alone(runtime::NcclCommunicator& communicator) = 0;
  /// The same while the other side runs, `repeats` times after the first; nothing where it ended
  /// too soon or began too late.
  [[nodiscard]] virtual std::optional<std::int64_t> Beside(runtime::NcclCommunicator& communicator,
                                                           int repeats) = 0;
  /// What is wrong with the values that were exchanged or computed last, in words.
  [[nodiscard]] virtual std::optional<std::string> Wrong() const = 0;
};

/// Makes `device` current on this thread.
/// errors  Error{kUnavailable} without the device or for a kernel that it does not run;
///         Error{kNotFound} for an unknown kernel; Error{kInvalidArgument} for a margin that leaves
///         no SM
[[nodiscard]] std::unique_ptr<OverlapRank> OpenOverlapRank(const OverlapConfig& config,
                                                           int rank,
                                                           int device);

/// With an SM margin NCCL takes at most as many thread blocks.
[[nodiscard]] runtime::NcclOptions OverlapOptions(runtime::NcclOptions options,
                                                  const OverlapConfig& config);

}  // namespace dbsp::profiler
