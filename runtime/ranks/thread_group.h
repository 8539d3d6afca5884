// SPDX-License-Identifier: Apache-2.0
// What the ranks of one RunRanks() share: who waits, who has left, and which buffers are lent out.
// Internal to runtime/; callers use communicator.h.
//
// Everything is guarded by one mutex; floats are copied outside it. A buffer is read only between
// the moment its owner lent it and the moment the reader gives it back, and an owner never leaves
// a call while a reader has its buffer: that is what makes leaving by an error safe.
#pragma once

#include <condition_variable>
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

/// What one rank brings to a collective; the steps are the caller's and live while it is inside.
struct Contribution {
  Collective op = Collective::kNone;
  const float* send = nullptr;
  std::span<const Transfer> steps;
};

class ThreadGroup {
 public:
  explicit ThreadGroup(int ranks);

  [[nodiscard]] int size() const { return static_cast<int>(members_.size()); }

  /// Waits until every rank has made its offer; then every rank may read every offer until it
  /// calls EndRead(). errors Error{kMeasurement} when the group fails first
  void Arrive(int rank, const Contribution& offer);
  [[nodiscard]] const Contribution& offer(int rank) const { return members_[rank]->offer; }
  /// Gives back every rank's offer, then waits until all others have given back this rank's.
  void EndRead(int rank) noexcept;

  /// Lends `data` to `dst`. errors Error{kInternal} while an earlier one is in flight
  void Post(int rank, const float* data, std::int64_t count, int dst);
  /// Waits for `src`'s posting to this rank and copies it. errors Error{kInternal} here and at the
  /// sender when the counts differ
  void Receive(int rank, float* recv, std::int64_t recv_count, int src);
  /// Waits until this rank's posting was read.
  void FinishPost(int rank);
  /// Takes this rank's posting back after a failed exchange; waits for a reader in the middle of
  /// it. errors Error{kInternal} when the failure was that the receiver expected another count
  void CancelSend(int rank);

  /// The first call decides; later ones only withdraw.
  void Abort(int rank, const std::string& reason) noexcept;
  /// The rank makes no further call. Ranks that still wait for it are told.
  void Detach(int rank) noexcept;
  /// The rank that aborted first and why; call after all ranks have left.
  [[nodiscard]] std::optional<int> abort_rank() const { return abort_rank_; }
  [[nodiscard]] std::string AbortMessage() const;

 private:
  enum class PostState : std::uint8_t { kIdle, kPosted, kReading, kRead, kMismatch };
  struct Member {
    std::condition_variable wake;
    const char* waits_in = nullptr;  ///< name of the call it is blocked in, null when running
    bool left = false;
    Contribution offer;
    int readers = 0;  ///< ranks that may still read `offer`
    PostState post = PostState::kIdle;
    const float* data = nullptr;
    std::int64_t count = 0;
    int dst = -1;
    std::int64_t expected = 0;  ///< what the receiver wanted, when post is kMismatch
  };

  template <typename Ready>
  void WaitUntil(std::unique_lock<std::mutex>& lock, int rank, const char* call, Ready ready);
  void Wake(int rank);
  void WakeAll();
  void AbortLocked(int rank, const std::string& reason) noexcept;
  void WithdrawLocked(std::unique_lock<std::mutex>& lock, int rank) noexcept;
  void ThrowIfAborted() const;
  void ThrowIfMismatched(int rank);
  [[nodiscard]] std::string DescribeStall() const;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Member>> members_;
  int running_ = 0;  ///< ranks that have neither left nor wait for another rank
  int arrived_ = 0;
  std::uint64_t meetings_ = 0;
  std::optional<int> abort_rank_;
  std::string abort_reason_;
};

}  // namespace dbsp::runtime::internal
