// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs over NCCL. The lists of transfers are those of runtime/ranks/exchange.h,
// as on the CPU; what NCCL adds is one group per call and a deadline per wait. Without nccl.h at
// build time the same class answers that it was not built.
//
// No wait is for ever: every one asks NCCL for errors and watches the clock, and a rank that gives
// up aborts its communicator, so that the kernels of the others that wait for it end too.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/ranks/communicator.h"

namespace dbsp::runtime {

/// What the ranks of one communicator share before it exists (ncclUniqueId); plain bytes that may
/// be sent to other processes.
using NcclId = std::array<char, 128>;

/// The stream that a rank's exchanges go to, as NCCL and the waiting loop see it.
struct NcclQueue {
  void* stream = nullptr;  ///< a cudaStream_t of the device that is current on the rank's thread
  /// Whether all that was enqueued is done; throws for a fault of the device.
  std::function<bool()> idle;
  float* scratch = nullptr;  ///< device memory for Barrier(): size() floats
};

struct NcclOptions {
  std::string library = "libnccl.so.2";
  std::int64_t deadline_ns = 60'000'000'000;  ///< of joining, and of every wait
  int most_ctas = 0;  ///< SMs that NCCL's kernels may take; 0 leaves it to NCCL
  /// Asked all through every wait: why this rank must give up, as when another rank's process is
  /// gone. NCCL itself does not always notice. Null: never.
  std::function<std::optional<std::string>()> must_stop = {};
};

/// What ranks of one process tell each other outside NCCL: who failed first, and why.
class NcclFailures;

/// Pointers are device memory. Elements are 4 bytes; what is only moved may be of any type, so two
/// 16-bit values are one element, and only ReduceScatter() takes them as float.
/// The collective calls of Communicator enqueue and wait. Enqueue...() only enqueues, for callers
/// that overlap or time with events; Wait() then completes all that was enqueued.
/// errors   Error{kMeasurement} when NCCL fails, another rank aborted or the deadline passed, after
///          aborting; Error{kInvalidArgument} as on the CPU. Counts that do not agree between ranks
///          end in the deadline: NCCL does not compare them, the CPU transport does.
/// threads  one thread per rank
class NcclCommunicator : public Communicator {
 public:
  /// errors  Error{kUnavailable} where NCCL is absent, too old or not built
  [[nodiscard]] static NcclId MakeId(const std::string& library = "libnccl.so.2");

  /// Joins the communicator `id` as `rank` of `size`; every rank must.
  /// failures  shared by the ranks of this process, null for one that is alone
  static std::unique_ptr<NcclCommunicator> Join(const NcclId& id,
                                                int rank,
                                                int size,
                                                NcclQueue queue,
                                                const NcclOptions& options = {},
                                                std::shared_ptr<NcclFailures> failures = nullptr);

  virtual void EnqueueAllToAllV(const float* send,
                                std::span<const std::int64_t> send_counts,
                                std::span<const std::int64_t> send_offsets,
                                float* recv,
                                std::span<const std::int64_t> recv_counts,
                                std::span<const std::int64_t> recv_offsets) = 0;
  virtual void EnqueueSendRecv(const float* send,
                               std::int64_t send_count,
                               int dst,
                               float* recv,
                               std::int64_t recv_count,
                               int src) = 0;
  /// ncclAllGather for equal parts one behind the other, else sends and receives in one group.
  virtual void EnqueueAllGatherV(const float* send,
                                 std::int64_t send_count,
                                 float* recv,
                                 std::span<const std::int64_t> counts,
                                 std::span<const std::int64_t> offsets) = 0;
  virtual void EnqueueReduceScatter(const float* send, float* recv, std::int64_t count) = 0;
  /// Until everything enqueued is done, or the deadline.
  virtual void Wait() = 0;
};

/// Runs `body` on `ranks` threads of this process, one device each, as RunRanks() does on the CPU.
/// queue_of  called on the rank's thread, before it joins: makes its device current
/// errors    as RunRanks(): the first failure of any rank, after every rank has left
void RunNcclRanks(int ranks,
                  const NcclOptions& options,
                  const std::function<NcclQueue(int rank)>& queue_of,
                  const std::function<void(NcclCommunicator&)>& body);

}  // namespace dbsp::runtime
