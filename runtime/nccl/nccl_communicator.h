// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs over NCCL. They use the transfer lists of runtime/ranks/exchange.h, as on
// the CPU, with one NCCL group per call. In a build without nccl.h, Join() and MakeId() throw.
//
// Every wait polls NCCL for errors and has a deadline. A rank that gives up aborts its
// communicator, which also ends the other ranks' kernels that wait for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/ranks/communicator.h"

namespace dbsp::runtime {

/// Id of a communicator (ncclUniqueId), which its ranks need to join. Plain bytes that may be sent
/// to other processes.
using NcclId = std::array<char, 128>;

/// The stream that runs a rank's exchanges.
struct NcclQueue {
  void* stream = nullptr;  ///< cudaStream_t of the device that is current on the rank's thread
  /// Whether all enqueued work is done. Throws after a fault of the device.
  std::function<bool()> idle;
  float* scratch = nullptr;  ///< device memory for Barrier(): size() floats
};

/// NCCL has at most 64 channels, and rounds their number to a power of two for sends and receives.
inline constexpr int kMostNcclCtas = 64;
[[nodiscard]] constexpr bool IsNcclCtas(int ctas) {
  return ctas > 0 && ctas <= kMostNcclCtas && (ctas & (ctas - 1)) == 0;
}

struct NcclOptions {
  std::string library = "libnccl.so.2";
  std::int64_t deadline_ns = 60'000'000'000;  ///< for joining and for every wait
  /// Most SMs of NCCL's kernels, for which IsNcclCtas() holds; 0 lets NCCL choose.
  int most_ctas = 0;
  /// Polled during every wait. Returns a reason when this rank must give up, for example because
  /// another rank's process is gone, which NCCL does not always notice. Null: never.
  std::function<std::optional<std::string>()> must_stop = {};
};

/// The first failure among the ranks of one process (nccl_failures.h).
class NcclFailures;

/// One rank's NCCL communicator. Buffers are device memory. The calls of
/// Communicator enqueue and wait. The Enqueue...() calls only enqueue, for callers that overlap
/// work or time it with events; Wait() then waits for all enqueued work.
/// errors  Error{kMeasurement} when NCCL fails, another rank aborted or the deadline passed, after
///         this rank has aborted; Error{kInvalidArgument} as on the CPU. Different counts on two
///         ranks end at the deadline, because NCCL does not compare them
/// threads  one thread per rank
class NcclCommunicator : public Communicator {
 public:
  /// errors  Error{kUnavailable} when NCCL is absent, too old or not built
  [[nodiscard]] static NcclId MakeId(const std::string& library = "libnccl.so.2");

  /// Joins the communicator `id` as `rank` of `size`. Returns when every rank has joined.
  /// errors  as the class; Error{kInvalidArgument} for a most_ctas that NCCL would round
  /// failures  shared by the ranks of this process; null for a process with one rank
  static std::unique_ptr<NcclCommunicator> Join(const NcclId& id,
                                                int rank,
                                                int size,
                                                NcclQueue queue,
                                                const NcclOptions& options = {},
                                                std::shared_ptr<NcclFailures> failures = nullptr);

  virtual void EnqueueAllToAllV(std::span<const std::byte> send,
                                std::span<const std::int64_t> send_counts,
                                std::span<const std::int64_t> send_offsets,
                                std::span<std::byte> recv,
                                std::span<const std::int64_t> recv_counts,
                                std::span<const std::int64_t> recv_offsets) = 0;
  virtual void EnqueueSendRecv(std::span<const std::byte> send,
                               int dst,
                               std::span<std::byte> recv,
                               int src) = 0;
  /// Uses ncclAllGather for equal contiguous parts, else sends and receives in one group.
  virtual void EnqueueAllGatherV(std::span<const std::byte> send,
                                 std::span<std::byte> recv,
                                 std::span<const std::int64_t> counts,
                                 std::span<const std::int64_t> offsets) = 0;
  virtual void EnqueueReduceScatter(std::span<const float> send, std::span<float> recv) = 0;
  /// Later work on this rank's stream starts when the streams of all ranks have reached their
  /// barriers.
  virtual void EnqueueBarrier() = 0;
  /// Waits until all enqueued work is done.
  virtual void Wait() = 0;
};

/// Runs `body` on `ranks` threads of this process with one device each, as RunRanks() does on the
/// CPU. queue_of  called on the rank's thread before it joins; makes the rank's device current
/// errors    as RunRanks(): the first failure of any rank, after all ranks have ended
void RunNcclRanks(int ranks,
                  const NcclOptions& options,
                  const std::function<NcclQueue(int rank)>& queue_of,
                  const std::function<void(NcclCommunicator&)>& body);

}  // namespace dbsp::runtime
