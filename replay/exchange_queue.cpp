// SPDX-License-Identifier: Apache-2.0
#include "replay/exchange_queue.h"

#include "core/parallel_for.h"
#include "runtime/clock.h"

namespace dbsp::replay {

ExchangeQueue::ExchangeQueue(runtime::Communicator& communicator)
    : communicator_(communicator), thread_(StartThread([this] { Work(); })) {}

ExchangeQueue::~ExchangeQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ExchangeQueue::Start(const RoundBuffers& buffers) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(buffers);
  }
  changed_.notify_all();
}

ExchangeTimes ExchangeQueue::Wait(std::size_t index) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_.size() > index || failure_ != nullptr; });
  if (done_.size() <= index) std::rethrow_exception(failure_);
  return done_[index];
}

void ExchangeQueue::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const RoundBuffers next = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    const std::int64_t start = runtime::SteadyNs();
    std::exception_ptr failure;
    try {
      communicator_.AllToAllV(next.send,
                              next.send_counts,
                              next.send_offsets,
                              next.recv,
                              next.recv_counts,
                              next.recv_offsets);
    } catch (...) {  // a thread's edge: Wait() throws it again
      failure = std::current_exception();
    }
    const ExchangeTimes times{start, runtime::SteadyNs() - start};
    lock.lock();
    if (failure != nullptr) {
      failure_ = failure;
    } else {
      done_.push_back(times);
    }
    changed_.notify_all();
    if (failure != nullptr) return;
  }
}

}  // namespace dbsp::replay
