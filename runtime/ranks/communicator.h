// SPDX-License-Identifier: Apache-2.0
// Exchanges between ranks. Counts and offsets are in elements of 4 bytes. The runtime does not know
// what the elements mean.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace dbsp::runtime {

/// One rank's handle of a group. Every rank must make the same collective calls in the same order.
/// A rank that fails calls Abort(). Every pending and later call of the other ranks then throws
/// Error{kMeasurement} that names the failed rank and its reason. No call waits for ever: when
/// every running rank waits for another one, all throw, and the message lists the calls they wait
/// in. threads  one thread per rank; different ranks concurrently
class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// Sends send_counts[dst] elements from send + send_offsets[dst] to every rank `dst`, and
  /// receives recv_counts[src] elements at recv + recv_offsets[src]. Counts may be 0. errors
  /// Error{kInternal} on both ranks when a sender's count is not the receiver's
  virtual void AllToAllV(const float* send,
                         std::span<const std::int64_t> send_counts,
                         std::span<const std::int64_t> send_offsets,
                         float* recv,
                         std::span<const std::int64_t> recv_counts,
                         std::span<const std::int64_t> recv_offsets) = 0;
  /// Starts a send to `dst` and a receive from `src` (both may be this rank) and returns. Only one
  /// such exchange may be in flight. Until WaitSendRecv() or Abort() returns, the buffers must stay
  /// valid, `send` unchanged and `recv` unread, also when the caller throws in between.
  /// errors  of WaitSendRecv(): Error{kInternal} on both ranks when their counts differ
  virtual void StartSendRecv(const float* send,
                             std::int64_t send_count,
                             int dst,
                             float* recv,
                             std::int64_t recv_count,
                             int src) = 0;
  virtual void WaitSendRecv() = 0;
  /// Every rank receives the counts[r] elements of each rank r at recv + offsets[r].
  virtual void AllGatherV(const float* send,
                          std::int64_t send_count,
                          float* recv,
                          std::span<const std::int64_t> counts,
                          std::span<const std::int64_t> offsets) = 0;
  /// Treats elements as float: recv[i] is the sum over all ranks of send[rank() * count + i], for i
  /// below `count`. The CPU transport adds in the order of ranks.
  virtual void ReduceScatter(const float* send, float* recv, std::int64_t count) = 0;
  virtual void Barrier() = 0;
  virtual void Abort(const std::string& reason) noexcept = 0;
};

/// Runs `body(communicator)` on `ranks` threads and joins them. The first error of any rank is
/// rethrown here after all ranks have ended.
/// errors  Error{kInvalidArgument} when ranks < 1; Error{kUnavailable} when the system cannot start
///         more threads; Error{kMeasurement} when a rank aborted without throwing; whatever body
///         throws
void RunRanks(int ranks, const std::function<void(Communicator&)>& body);

}  // namespace dbsp::runtime
