// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/ranks/thread_group.h"

namespace dbsp::runtime {
namespace {

using internal::Collective;
using internal::Contribution;
using internal::ThreadGroup;

void Copy(std::span<std::byte> to, std::span<const std::byte> from) {
  if (!to.empty()) std::memcpy(to.data(), from.data(), to.size());
}

std::span<const std::byte> SentPart(const Contribution& contribution, const Transfer& step) {
  return contribution.send.subspan(static_cast<std::size_t>(step.send_offset),
                                   static_cast<std::size_t>(step.send_count));
}

/// One rank inside a collective call. While the object lives, this rank may read every rank's
/// contribution; its destructor waits until no other rank reads this rank's contribution.
class CollectiveScope {
 public:
  CollectiveScope(ThreadGroup& group, int rank, const Contribution& contribution)
      : group_(group), rank_(rank) {
    group_.Arrive(rank, contribution);
  }
  ~CollectiveScope() { group_.EndRead(rank_); }
  CollectiveScope(const CollectiveScope&) = delete;
  CollectiveScope& operator=(const CollectiveScope&) = delete;

  /// errors  Error{kInternal} on every rank unless all ranks are in the same call
  void RequireSameCall() const {
    const Collective op = group_.contribution(rank_).op;
    for (int r = 0; r < group_.size(); ++r) {
      if (group_.contribution(r).op != op) {
        Reject(fmt::format("rank {} and rank {} are in different collective calls", rank_, r));
      }
    }
  }

  /// errors  Error{kInternal} unless this rank's counts equal those of the ranks it sends to and
  ///         receives from
  void RequireSameCounts() const {
    const Contribution& mine = group_.contribution(rank_);
    for (std::size_t s = 0; s < mine.steps.size(); ++s) {
      const Transfer& step = mine.steps[s];
      const Transfer& from = group_.contribution(step.receive_from).steps[s];
      RequireSameCount(step.receive_from, rank_, from.send_count, step.recv_count);
      const Transfer& to = group_.contribution(step.send_to).steps[s];
      RequireSameCount(rank_, step.send_to, step.send_count, to.recv_count);
    }
  }

 private:
  void RequireSameCount(int src, int dst, std::int64_t sent, std::int64_t wanted) const {
    if (sent == wanted) return;
    Reject(fmt::format("{}: rank {} sends {} bytes, but rank {} expects {}",
                       NameOf(group_.contribution(rank_).op),
                       src,
                       sent,
                       dst,
                       wanted));
  }
  [[noreturn]] void Reject(const std::string& text) const {
    group_.Abort(rank_, text);
    throw Error(ErrorCode::kInternal, text);
  }

  ThreadGroup& group_;
  int rank_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return group_.size(); }

  void AllToAllV(std::span<const std::byte> send,
                 std::span<const std::int64_t> send_counts,
                 std::span<const std::int64_t> send_offsets,
                 std::span<std::byte> recv,
                 std::span<const std::int64_t> recv_counts,
                 std::span<const std::int64_t> recv_offsets) override {
    RequireParts("AllToAllV send", rank_, size(), send_counts, send_offsets, send.size());
    RequireParts("AllToAllV recv", rank_, size(), recv_counts, recv_offsets, recv.size());
    const auto steps = AllToAllSteps(rank_, send_counts, send_offsets, recv_counts, recv_offsets);
    RunSteps(Collective::kAllToAllV, send, steps, recv);
  }

  void StartSendRecv(std::span<const std::byte> send,
                     int dst,
                     std::span<std::byte> recv,
                     int src) override {
    (void)HopOf(rank_, size(), send, dst, recv, src);
    group_.PostSend(rank_, send, dst);
    recv_ = recv;
    src_ = src;
  }

  void WaitSendRecv() override {
    if (!src_) {
      Fail(ErrorCode::kInternal, "WaitSendRecv on rank {}: no StartSendRecv before it", rank_);
    }
    const int src = *std::exchange(src_, std::nullopt);
    try {
      group_.Receive(rank_, recv_, src);
      group_.FinishSend(rank_);
    } catch (...) {
      group_.CancelSend(rank_);
      throw;
    }
  }

  void AllGatherV(std::span<const std::byte> send,
                  std::span<std::byte> recv,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets) override {
    RequireParts("AllGatherV", rank_, size(), counts, offsets, recv.size());
    const auto steps = AllGatherSteps(rank_, std::ssize(send), counts, offsets);
    RunSteps(Collective::kAllGatherV, send, steps, recv);
  }

  void ReduceScatter(std::span<const float> send, std::span<float> recv) override {
    RequireSums(rank_, size(), send.size(), recv.size());
    const auto bytes = static_cast<std::int64_t>(recv.size_bytes());
    const std::vector<std::int64_t> counts(size(), bytes);
    std::vector<std::int64_t> offsets;
    for (int r = 0; r < size(); ++r) offsets.push_back(r * bytes);
    const auto steps = AllToAllSteps(rank_, counts, offsets, counts, offsets);
    const CollectiveScope scope(
        group_, rank_, {Collective::kReduceScatter, std::as_bytes(send), steps});
    scope.RequireSameCall();
    scope.RequireSameCounts();
    std::ranges::fill(recv, 0.0F);
    for (int src = 0; src < size(); ++src) {
      const auto* sent = reinterpret_cast<const float*>(group_.contribution(src).send.data());
      const float* part = sent + static_cast<std::size_t>(rank_) * recv.size();
      for (std::size_t i = 0; i < recv.size(); ++i) recv[i] += part[i];
    }
  }

  void Barrier() override {
    const CollectiveScope scope(group_, rank_, {Collective::kBarrier, {}, {}});
    scope.RequireSameCall();
  }

  void Abort(const std::string& reason) noexcept override { group_.Abort(rank_, reason); }

 private:
  /// Copies the data that every rank sends to this rank, in the order of this rank's steps.
  void RunSteps(Collective op,
                std::span<const std::byte> send,
                std::span<const Transfer> steps,
                std::span<std::byte> recv) {
    const CollectiveScope scope(group_, rank_, {op, send, steps});
    scope.RequireSameCall();
    scope.RequireSameCounts();
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const Contribution& peer = group_.contribution(steps[s].receive_from);
      if (steps[s].recv_count == 0) continue;
      Copy(recv.subspan(static_cast<std::size_t>(steps[s].recv_offset),
                        static_cast<std::size_t>(steps[s].recv_count)),
           SentPart(peer, peer.steps[s]));
    }
  }

  ThreadGroup& group_;
  int rank_;
  std::span<std::byte> recv_;
  std::optional<int> src_;  ///< source of the exchange in flight
};

/// Runs one rank from start to end. Never throws.
void RunRank(ThreadGroup& group,
             int rank,
             const std::function<void(Communicator&)>& body,
             std::exception_ptr& failure) noexcept {
  ThreadCommunicator communicator(group, rank);
  try {
    body(communicator);
  } catch (const std::exception& error) {
    failure = std::current_exception();
    group.Abort(rank, error.what());
  } catch (...) {
    failure = std::current_exception();
    group.Abort(rank, "an exception of unknown type");
  }
  group.Detach(rank);
}

}  // namespace

void RunRanks(int ranks, const std::function<void(Communicator&)>& body) {
  if (ranks < 1) Fail(ErrorCode::kInvalidArgument, "RunRanks: {} ranks; at least 1", ranks);
  ThreadGroup group(ranks);
  std::vector<std::exception_ptr> failures(ranks);
  std::vector<std::thread> threads;
  threads.reserve(ranks);
  try {
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] { RunRank(group, r, body, failures[r]); });
    }
  } catch (const std::system_error& error) {
    group.Abort(static_cast<int>(threads.size()), error.what());
    for (std::thread& thread : threads) thread.join();
    Fail(ErrorCode::kUnavailable, "cannot start {} threads: {}", ranks, error.what());
  }
  for (std::thread& thread : threads) thread.join();

  // The error of the rank that failed first is the cause of the others.
  const auto first = group.abort_rank();
  if (first && failures[*first]) std::rethrow_exception(failures[*first]);
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  if (first) throw Error(ErrorCode::kMeasurement, group.AbortMessage());
}

}  // namespace dbsp::runtime
