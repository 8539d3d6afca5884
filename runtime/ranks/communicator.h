// SPDX-License-Identifier: Apache-2.0
// Exchanges between ranks. Counts and offsets are in bytes. The runtime does not know what the
// bytes mean.
#pragma once

#include <cstddef>
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
  /// Sends send_counts[dst] bytes of `send` from send_offsets[dst] on to every rank `dst`, and
  /// receives recv_counts[src] bytes at recv_offsets[src] of `recv`. Counts may be 0.
  /// errors  Error{kInternal} on both ranks when a sender's count is not the receiver's;
  ///         Error{kInvalidArgument} when a part is outside its buffer
  virtual void AllToAllV(std::span<const std::byte> send,
                         std::span<const std::int64_t> send_counts,
                         std::span<const std::int64_t> send_offsets,
                         std::span<std::byte> recv,
                         std::span<const std::int64_t> recv_counts,
                         std::span<const std::int64_t> recv_offsets) = 0;
  /// Starts a send of all of `send` to `dst` and a receive of all of `recv` from `src` (both may be
  /// this rank) and returns. Only one
  /// such exchange may be in flight. Until WaitSendRecv() or Abort() returns, the buffers must stay
  /// valid, `send` unchanged and `recv` unread, also when the caller throws in between.
  /// errors  of WaitSendRecv(): Error{kInternal} on both ranks when their counts differ
  virtual void StartSendRecv(std::span<const std::byte> send,
                             int dst,
                             std::span<std::byte> recv,
                             int src) = 0;
  virtual void WaitSendRecv() = 0;
  /// Every rank receives the counts[r] bytes of each rank r at offsets[r] of `recv`.
  /// requires  send.size() is counts[rank()]
  virtual void AllGatherV(std::span<const std::byte> send,
                          std::span<std::byte> recv,
                          std::span<const std::int64_t> counts,
                          std::span<const std::int64_t> offsets) = 0;
  /// recv[i] is the sum over all ranks of send[rank() * recv.size() + i]. The CPU transport adds in
  /// the order of ranks.
  /// requires  send.size() is size() * recv.size()
  virtual void ReduceScatter(std::span<const float> send, std::span<float> recv) = 0;
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
