// SPDX-License-Identifier: Apache-2.0
// Exchanges between ranks. Counts and displacements are in elements of T = float on the CPU, the
// caller's layout decides what they mean. The runtime never knows what a plan is for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace dbsp::runtime {

/// One rank's end of a group. Collective calls must be made by every rank in the same order. A rank
/// that fails calls Abort(); every other rank's pending and later calls then throw
/// Error{kMeasurement} naming the rank and its reason, and no call waits for ever: when every rank
/// that has not returned waits for another, all throw and the message lists who waits in what.
/// threads  one thread per rank; different ranks concurrently
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// send_counts[dst] elements from send + send_offsets[dst], recv alike; counts may be 0. The sum
  /// sent to a rank must equal what that rank expects, else Error{kInternal} on both.
  virtual void AllToAllV(const float* send,
                         std::span<const std::int64_t> send_counts,
                         std::span<const std::int64_t> send_offsets,
                         float* recv,
                         std::span<const std::int64_t> recv_counts,
                         std::span<const std::int64_t> recv_offsets) = 0;
  /// Starts sending to `dst` and receiving from `src` (both may be this rank) and returns; Wait()
  /// completes both, and throws Error{kInternal} on both ranks when their counts differ. One
  /// exchange may be in flight per direction. Buffers stay untouched till then, and must outlive
  /// the call that ends the exchange (WaitSendRecv or Abort): a body that may throw in between
  /// keeps them outside itself or calls Abort before they go.
  virtual void StartSendRecv(const float* send,
                             std::int64_t send_count,
                             int dst,
                             float* recv,
                             std::int64_t recv_count,
                             int src) = 0;
  virtual void WaitSendRecv() = 0;
  /// counts[r] elements of rank r land at recv + offsets[r] on every rank.
  virtual void AllGatherV(const float* send,
                          std::int64_t send_count,
                          float* recv,
                          std::span<const std::int64_t> counts,
                          std::span<const std::int64_t> offsets) = 0;
  /// recv[i] = sum over the ranks r of r's send[rank() * count + i], count elements for every rank;
  /// on the CPU summed in the order of ranks.
  virtual void ReduceScatter(const float* send, float* recv, std::int64_t count) = 0;
  virtual void Barrier() = 0;
  virtual void Abort(const std::string& reason) noexcept = 0;
};

/// Runs `body(communicator)` on `ranks` threads and joins them. The first error of any rank is
/// rethrown here after every rank has left.
/// errors  Error{kInvalidArgument} when ranks < 1; Error{kUnavailable} when the system gives no
///         more threads; Error{kMeasurement} when a rank aborted without throwing; whatever body
///         throws
void RunRanks(int ranks, const std::function<void(Communicator&)>& body);

}  // namespace dbsp::runtime
