// SPDX-License-Identifier: Apache-2.0
#include "runtime/ranks/thread_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace dbsp::runtime::internal {

const char* NameOf(Collective op) {
  switch (op) {
    case Collective::kBarrier:
      return "Barrier";
    case Collective::kAllToAllV:
      return "AllToAllV";
    case Collective::kAllGatherV:
      return "AllGatherV";
    case Collective::kReduceScatter:
      return "ReduceScatter";
    case Collective::kNone:
      break;
  }
  return "no call";
}

ThreadGroup::ThreadGroup(int ranks) : running_(ranks) {
  members_.reserve(ranks);
  for (int r = 0; r < ranks; ++r) members_.push_back(std::make_unique<Member>());
}

std::string ThreadGroup::AbortMessage() const {
  return fmt::format("rank {} aborted: {}", abort_rank_.value_or(-1), abort_reason_);
}

void ThreadGroup::ThrowIfAborted() const {
  if (abort_rank_) throw Error(ErrorCode::kMeasurement, AbortMessage());
}

std::string ThreadGroup::DescribeStall() const {
  std::string text = "deadlock:";
  for (int r = 0; r < size(); ++r) {
    const Member& member = *members_[r];
    text += fmt::format("{} rank {} {}",
                        r == 0 ? "" : ",",
                        r,
                        member.detached ? std::string("has returned")
                                        : fmt::format("waits in {}", member.waits_in));
  }
  return text + " (every rank must make the same calls in the same order)";
}

/// Blocks `rank` until ready(). When the last running rank blocks, no rank is left to wake another,
/// so the group fails at once: a wrong order of calls is an error and never a hang.
template <typename Ready>
void ThreadGroup::WaitUntil(std::unique_lock<std::mutex>& lock,
                            int rank,
                            const char* call,
                            Ready ready) {
  Member& me = *members_[rank];
  while (!ready()) {
    ThrowIfAborted();
    me.waits_in = call;
    if (--running_ == 0) {
      const std::string stall = DescribeStall();
      AbortLocked(rank, stall);
      throw Error(ErrorCode::kInternal, fmt::format("{}: {}", call, stall));
    }
    me.wake.wait(lock, [&] { return me.waits_in == nullptr; });
  }
}

void ThreadGroup::Wake(int rank) {
  Member& member = *members_[rank];
  if (member.waits_in != nullptr) {
    member.waits_in = nullptr;
    ++running_;
  }
  member.wake.notify_one();
}

void ThreadGroup::WakeAll() {
  for (int r = 0; r < size(); ++r) Wake(r);
}

void ThreadGroup::Arrive(int rank, const Contribution& contribution) {
  std::unique_lock lock(mutex_);
  ThrowIfAborted();
  members_[rank]->contribution = contribution;
  const std::uint64_t collective = collectives_;
  if (++arrived_ == size()) {
    arrived_ = 0;
    ++collectives_;
    // Every rank becomes a reader of all contributions before any rank continues: a rank that fails
    // right after this call still waits for ranks that have not woken up yet.
    for (const auto& member : members_) member->readers = size();
    WakeAll();
    return;
  }
  WaitUntil(lock, rank, NameOf(contribution.op), [&] { return collectives_ != collective; });
}

void ThreadGroup::EndRead(int rank) noexcept {
  std::unique_lock lock(mutex_);
  for (const auto& member : members_) {
    if (--member->readers == 0) member->wake.notify_one();
  }
  // This wait ends: every other rank has arrived and only copies.
  members_[rank]->wake.wait(lock, [&] { return members_[rank]->readers == 0; });
}

void ThreadGroup::PostSend(int rank, std::span<const std::byte> data, int dst) {
  const std::unique_lock lock(mutex_);
  ThrowIfAborted();
  Member& me = *members_[rank];
  if (me.send != SendState::kIdle) {
    Fail(ErrorCode::kInternal,
         "StartSendRecv on rank {}: an exchange is already in flight; call WaitSendRecv first",
         rank);
  }
  me.send = SendState::kPosted;
  me.data = data;
  me.dst = dst;
  Wake(dst);
}

void ThreadGroup::Receive(int rank, std::span<std::byte> recv, int src) {
  std::unique_lock lock(mutex_);
  Member& sender = *members_[src];
  WaitUntil(lock, rank, "WaitSendRecv", [&] {
    return sender.send == SendState::kPosted && sender.dst == rank;
  });
  if (sender.data.size() != recv.size()) {
    sender.send = SendState::kMismatch;
    sender.expected = recv.size();
    const std::string text =
        fmt::format("WaitSendRecv: rank {} sends {} bytes, but rank {} expects {}",
                    src,
                    sender.data.size(),
                    rank,
                    recv.size());
    AbortLocked(rank, text);
    throw Error(ErrorCode::kInternal, text);
  }
  sender.send = SendState::kReading;
  lock.unlock();
  if (!recv.empty()) std::memcpy(recv.data(), sender.data.data(), recv.size());
  lock.lock();
  sender.send = SendState::kRead;
  Wake(src);
}

void ThreadGroup::FinishSend(int rank) {
  std::unique_lock lock(mutex_);
  Member& me = *members_[rank];
  WaitUntil(lock, rank, "WaitSendRecv", [&] {
    return me.send == SendState::kRead || me.send == SendState::kMismatch;
  });
  ThrowIfMismatched(rank);
  me.send = SendState::kIdle;
}

void ThreadGroup::ThrowIfMismatched(int rank) {
  Member& me = *members_[rank];
  if (me.send != SendState::kMismatch) return;
  me.send = SendState::kIdle;
  Fail(ErrorCode::kInternal,
       "WaitSendRecv: rank {} sends {} bytes, but rank {} expects {}",
       rank,
       me.data.size(),
       me.dst,
       me.expected);
}

void ThreadGroup::CancelSend(int rank) {
  std::unique_lock lock(mutex_);
  ThrowIfMismatched(rank);
  CancelSendLocked(lock, rank);
}

void ThreadGroup::CancelSendLocked(std::unique_lock<std::mutex>& lock, int rank) noexcept {
  Member& me = *members_[rank];
  me.wake.wait(lock, [&] { return me.send != SendState::kReading; });
  me.send = SendState::kIdle;
}

void ThreadGroup::AbortLocked(int rank, const std::string& reason) noexcept {
  if (!abort_rank_) {
    abort_rank_ = rank;
    try {
      abort_reason_ = reason;
    } catch (...) {  // Out of memory: the message then names the rank only.
      abort_reason_.clear();
    }
  }
  WakeAll();
}

void ThreadGroup::Abort(int rank, const std::string& reason) noexcept {
  std::unique_lock lock(mutex_);
  AbortLocked(rank, reason);
  CancelSendLocked(lock, rank);
}

void ThreadGroup::Detach(int rank) noexcept {
  std::unique_lock lock(mutex_);
  CancelSendLocked(lock, rank);
  members_[rank]->detached = true;
  const bool others = std::any_of(
      members_.begin(), members_.end(), [](const auto& member) { return !member->detached; });
  if (--running_ == 0 && others) {
    try {
      AbortLocked(rank, DescribeStall());
    } catch (...) {
      AbortLocked(rank, std::string());
    }
  }
}

}  // namespace dbsp::runtime::internal
