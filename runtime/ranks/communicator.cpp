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

void Copy(float* to, const float* from, std::int64_t count) {
  if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
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
    Reject(fmt::format("{}: rank {} sends {} elements, but rank {} expects {}",
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

  void AllToAllV(const float* send,
                 std::span<const std::int64_t> send_counts,
                 std::span<const std::int64_t> send_offsets,
                 float* recv,
                 std::span<const std::int64_t> recv_counts,
                 std::span<const std::int64_t> recv_offsets) override {
    RequireCounts("AllToAllV send", rank_, size(), send_counts, send_offsets);
    RequireCounts("AllToAllV recv", rank_, size(), recv_counts, recv_offsets);
    const auto steps = AllToAllSteps(rank_, send_counts, send_offsets, recv_counts, recv_offsets);
    RunSteps(Collective::kAllToAllV, send, steps, recv);
  }

  void StartSendRecv(const float* send,
                     std::int64_t send_count,
                     int dst,
                     float* recv,
                     std::int64_t recv_count,
                     int src) override {
    RequireHop(rank_,
               size(),
               {.send_to = dst,
                .send_offset = 0,
                .send_count = send_count,
                .receive_from = src,
                .recv_offset = 0,
                .recv_count = recv_count});
    group_.PostSend(rank_, send, send_count, dst);
    recv_ = recv;
    recv_count_ = recv_count;
    src_ = src;
  }

  void WaitSendRecv() override {
    if (!src_) {
      Fail(ErrorCode::kInternal, "WaitSendRecv on rank {}: no StartSendRecv before it", rank_);
    }
    const int src = *std::exchange(src_, std::nullopt);
    try {
      group_.Receive(rank_, recv_, recv_count_, src);
      group_.FinishSend(rank_);
    } catch (...) {
      group_.CancelSend(rank_);
      throw;
    }
  }

  void AllGatherV(const float* send,
                  std::int64_t send_count,
                  float* recv,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets) override {
    RequireCounts("AllGatherV", rank_, size(), counts, offsets);
    const auto steps = AllGatherSteps(rank_, send_count, counts, offsets);
    RunSteps(Collective::kAllGatherV, send, steps, recv);
  }

  void ReduceScatter(const float* send, float* recv, std::int64_t count) override {
    const std::vector<std::int64_t> counts(size(), count);
    std::vector<std::int64_t> offsets;
    for (int r = 0; r < size(); ++r) offsets.push_back(r * count);
    RequireCounts("ReduceScatter", rank_, size(), counts, offsets);
    const auto steps = AllToAllSteps(rank_, counts, offsets, counts, offsets);
    const CollectiveScope scope(group_, rank_, {Collective::kReduceScatter, send, steps});
    scope.RequireSameCall();
    scope.RequireSameCounts();
    std::fill(recv, recv + count, 0.0F);
    for (int src = 0; src < size(); ++src) {
      const float* part = group_.contribution(src).send + rank_ * count;
      for (std::int64_t i = 0; i < count; ++i) recv[i] += part[i];
    }
  }

  void Barrier() override {
    const CollectiveScope scope(group_, rank_, {Collective::kBarrier, nullptr, {}});
    scope.RequireSameCall();
  }

  void Abort(const std::string& reason) noexcept override { group_.Abort(rank_, reason); }

 private:
  /// Copies the data that every rank sends to this rank, in the order of this rank's steps.
  void RunSteps(Collective op, const float* send, std::span<const Transfer> steps, float* recv) {
    const CollectiveScope scope(group_, rank_, {op, send, steps});
    scope.RequireSameCall();
    scope.RequireSameCounts();
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const Contribution& peer = group_.contribution(steps[s].receive_from);
      Copy(recv + steps[s].recv_offset, peer.send + peer.steps[s].send_offset, steps[s].recv_count);
    }
  }

  ThreadGroup& group_;
  int rank_;
  float* recv_ = nullptr;
  std::int64_t recv_count_ = 0;
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
