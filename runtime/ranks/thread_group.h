// SPDX-License-Identifier: Apache-2.0
// State shared by the ranks of one RunRanks() call: waiting ranks, finished ranks, and the buffers
// that other ranks may read. Internal to runtime/; callers use communicator.h.
//
// One mutex guards all state; values are copied outside it. A rank reads another rank's buffer only
// while the owner is inside the call that shares it. The owner leaves that call, also by an error,
// only when no reader is left.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/ranks/exchange.h"

namespace dbsp::runtime::internal {

enum class Collective : std::uint8_t { kNone, kBarrier, kAllToAllV, kAllGatherV, kReduceScatter };
[[nodiscard]] const char* NameOf(Collective op);

/// One rank's part of a collective call. The caller owns the buffer and the steps, which stay valid
/// until EndRead().
struct Contribution {
  Collective op = Collective::kNone;
  std::span<const std::byte> send = {};
  std::span<const Transfer> steps;
};

class ThreadGroup {
 public:
  explicit ThreadGroup(int ranks);

  [[nodiscard]] int size() const { return static_cast<int>(members_.size()); }

  /// Waits until every rank has arrived with its contribution. From then on this rank may read all
  /// contributions, until it calls EndRead().
  /// errors  Error{kMeasurement} when the group fails first
  void Arrive(int rank, const Contribution& contribution);
  [[nodiscard]] const Contribution& contribution(int rank) const {
    return members_[rank]->contribution;
  }
  /// Ends this rank's reading, then waits until no other rank reads this rank's contribution.
  void EndRead(int rank) noexcept;

  /// Offers `data` for `dst` to receive.
  /// errors  Error{kInternal} while an earlier send is in flight
  void PostSend(int rank, std::span<const std::byte> data, int dst);
  /// Waits until `src` has posted a send to this rank, and copies its data.
  /// errors  Error{kInternal} on both ranks when their sizes differ
  void Receive(int rank, std::span<std::byte> recv, int src);
  /// Waits until the receiver has copied this rank's send.
  void FinishSend(int rank);
  /// Cancels this rank's send after a failed exchange. Waits for a receiver that is copying it.
  /// errors  Error{kInternal} when the exchange failed because the receiver expected another count
  void CancelSend(int rank);

  /// Fails the group with this rank's reason and cancels its send. Only the first call's reason is
  /// kept.
  void Abort(int rank, const std::string& reason) noexcept;
  /// This rank makes no further call. The group fails when only waiting ranks remain.
  void Detach(int rank) noexcept;
  /// The rank that aborted first. requires every rank has called Detach()
  [[nodiscard]] std::optional<int> abort_rank() const { return abort_rank_; }
  [[nodiscard]] std::string AbortMessage() const;

 private:
  enum class SendState : std::uint8_t { kIdle, kPosted, kReading, kRead, kMismatch };
  struct Member {
    std::condition_variable wake;
    const char* waits_in = nullptr;  ///< name of the call that blocks this rank; null when running
    bool detached = false;
    Contribution contribution;
    int readers = 0;  ///< ranks that may still read `contribution`
    SendState send = SendState::kIdle;
    std::span<const std::byte> data = {};
    int dst = -1;
    std::size_t expected = 0;  ///< the receiver's size in bytes, when `send` is kMismatch
  };

  template <typename Ready>
  void WaitUntil(std::unique_lock<std::mutex>& lock, int rank, const char* call, Ready ready);
  void Wake(int rank);
  void WakeAll();
  void AbortLocked(int rank, const std::string& reason) noexcept;
  void CancelSendLocked(std::unique_lock<std::mutex>& lock, int rank) noexcept;
  void ThrowIfAborted() const;
  void ThrowIfMismatched(int rank);
  [[nodiscard]] std::string DescribeStall() const;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Member>> members_;
  int running_ = 0;  ///< ranks that are neither detached nor waiting for another rank
  int arrived_ = 0;  ///< ranks that wait in Arrive()
  std::uint64_t collectives_ = 0;  ///< collectives at which all ranks have arrived
  std::optional<int> abort_rank_;
  std::string abort_reason_;
};

}  // namespace dbsp::runtime::internal
