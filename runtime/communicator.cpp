// SPDX-License-Identifier: Apache-2.0
#include "runtime/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "runtime/thread_group.h"

namespace dbsp::runtime {
namespace {

using internal::Collective;
using internal::Offer;
using internal::ThreadGroup;

void Copy(float* to, const float* from, std::int64_t count) {
  if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

/// Keeps every rank's offer readable while it lives; leaving waits for this rank's own readers.
class Meeting {
 public:
  Meeting(ThreadGroup& group, int rank, const Offer& offer) : group_(group), rank_(rank) {
    group_.Meet(rank, offer);
  }
  ~Meeting() { group_.EndRead(rank_); }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  /// All ranks must be in the same call. Every rank sees every offer, so all throw alike.
  void RequireSameCall() const {
    const Collective op = group_.offer(rank_).op;
    for (int r = 0; r < group_.size(); ++r) {
      if (group_.offer(r).op != op) {
        Reject(fmt::format("rank {} and rank {} are in different collective calls", rank_, r));
      }
    }
  }

  void RequireSameCount(
      const char* call, int src, int dst, std::int64_t sent, std::int64_t wanted) const {
    if (sent == wanted) return;
    Reject(fmt::format(
        "{}: rank {} sends {} elements, but rank {} expects {}", call, src, sent, dst, wanted));
  }

 private:
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
    RequireCounts("AllToAllV send", send_counts, send_offsets);
    RequireCounts("AllToAllV recv", recv_counts, recv_offsets);
    const Meeting meeting(
        group_, rank_, {Collective::kAllToAllV, send, send_counts, send_offsets, recv_counts});
    meeting.RequireSameCall();
    for (int r = 0; r < size(); ++r) {
      const Offer& peer = group_.offer(r);
      meeting.RequireSameCount("AllToAllV", r, rank_, peer.send_counts[rank_], recv_counts[r]);
      meeting.RequireSameCount("AllToAllV", rank_, r, send_counts[r], peer.recv_counts[rank_]);
    }
    for (int step = 0; step < size(); ++step) {
      // Each rank starts with another source, so that they do not all read the same one at once.
      const int src = (rank_ + step) % size();
      const Offer& peer = group_.offer(src);
      Copy(recv + recv_offsets[src], peer.send + peer.send_offsets[rank_], recv_counts[src]);
    }
  }

  void StartSendRecv(const float* send,
                     std::int64_t send_count,
                     int dst,
                     float* recv,
                     std::int64_t recv_count,
                     int src) override {
    if (dst < 0 || dst >= size() || src < 0 || src >= size() || send_count < 0 || recv_count < 0) {
      Fail(ErrorCode::kInvalidArgument,
           "StartSendRecv on rank {}: {} elements to rank {}, {} from rank {}; ranks are 0..{} and "
           "counts at least 0",
           rank_,
           send_count,
           dst,
           recv_count,
           src,
           size() - 1);
    }
    group_.Post(rank_, send, send_count, dst);
    recv_ = recv;
    recv_count_ = recv_count;
    src_ = src;
  }

  void WaitSendRecv() override {
    if (src_ < 0) {
      Fail(ErrorCode::kInternal, "WaitSendRecv on rank {}: no StartSendRecv before it", rank_);
    }
    const int src = src_;
    src_ = -1;
    try {
      group_.Receive(rank_, recv_, recv_count_, src);
      group_.FinishPost(rank_);
    } catch (...) {
      group_.Withdraw(rank_);
      throw;
    }
  }

  void AllGatherV(const float* send,
                  std::int64_t send_count,
                  float* recv,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets) override {
    RequireCounts("AllGatherV", counts, offsets);
    const Meeting meeting(
        group_,
        rank_,
        {Collective::kAllGatherV, send, std::span<const std::int64_t>(&send_count, 1), {}, counts});
    meeting.RequireSameCall();
    for (int r = 0; r < size(); ++r) {
      const Offer& peer = group_.offer(r);
      meeting.RequireSameCount("AllGatherV", r, rank_, peer.send_counts[0], counts[r]);
      meeting.RequireSameCount("AllGatherV", rank_, r, send_count, peer.recv_counts[rank_]);
    }
    for (int step = 0; step < size(); ++step) {
      const int src = (rank_ + step) % size();
      Copy(recv + offsets[src], group_.offer(src).send, counts[src]);
    }
  }

  void Barrier() override {
    const Meeting meeting(group_, rank_, {Collective::kBarrier, nullptr, {}, {}, {}});
    meeting.RequireSameCall();
  }

  void Abort(const std::string& reason) noexcept override { group_.Abort(rank_, reason); }

 private:
  void RequireCounts(const char* call,
                     std::span<const std::int64_t> counts,
                     std::span<const std::int64_t> offsets) const {
    const auto ranks = static_cast<std::size_t>(size());
    if (counts.size() != ranks || offsets.size() != ranks ||
        std::any_of(counts.begin(), counts.end(), [](std::int64_t n) { return n < 0; })) {
      Fail(ErrorCode::kInvalidArgument,
           "{} on rank {}: {} counts and {} offsets for {} ranks; one of each per rank, none "
           "negative",
           call,
           rank_,
           counts.size(),
           offsets.size(),
           ranks);
    }
  }

  ThreadGroup& group_;
  int rank_;
  float* recv_ = nullptr;
  std::int64_t recv_count_ = 0;
  int src_ = -1;  ///< source of the exchange in flight, -1 when none is
};

/// One rank from start to end; never throws.
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
  group.Leave(rank);
}

}  // namespace

void RunRanks(int ranks, const std::function<void(Communicator&)>& body) {
  if (ranks < 1) Fail(ErrorCode::kInvalidArgument, "RunRanks: {} ranks; at least 1", ranks);
  ThreadGroup group(ranks);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
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

  // The rank that failed first made the others fail: its own error says why.
  const auto first = group.abort_rank();
  if (first && failures[*first]) std::rethrow_exception(failures[*first]);
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  if (first) throw Error(ErrorCode::kMeasurement, group.AbortMessage());
}

}  // namespace dbsp::runtime
