// SPDX-License-Identifier: Apache-2.0
// All-to-alls of one rank that run on a thread of their own, so that the rank can compute
// meanwhile.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "replay/cpu_rank.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::replay {

/// When an exchange was called and how long the call took, waiting for other ranks included.
struct ExchangeTimes {
  std::int64_t start_ns = 0;  ///< of runtime::SteadyNs
  std::int64_t duration_ns = 0;
};

/// Exchanges run in the order of Start(), which must be the same on every rank.
/// owns     a thread; the communicator must outlive it and must not be called by others while an
///          exchange is under way
/// threads  one caller
class ExchangeQueue {
 public:
  explicit ExchangeQueue(runtime::Communicator& communicator);
  /// Exchanges not begun are dropped; the one under way must be able to end: abort the
  /// communicator first when the other ranks may not come.
  ~ExchangeQueue();
  ExchangeQueue(const ExchangeQueue&) = delete;
  ExchangeQueue& operator=(const ExchangeQueue&) = delete;

  /// The buffers must stay as they are until Wait().
  void Start(const RoundBuffers& buffers);
  /// Waits for the `index`-th exchange started, from 0.
  /// errors  what the communicator threw in this exchange or an earlier one
  [[nodiscard]] ExchangeTimes Wait(std::size_t index);

 private:
  void Work();

  runtime::Communicator& communicator_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<RoundBuffers> waiting_;
  std::vector<ExchangeTimes> done_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  // last: it starts when all else is there
};

}  // namespace dbsp::replay
