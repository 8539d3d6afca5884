// SPDX-License-Identifier: Apache-2.0
// Runs the all-to-alls of one rank on a separate thread, so that the rank computes meanwhile.
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

/// Start and duration of one exchange call. The duration includes waiting for other ranks.
struct ExchangeTimes {
  std::int64_t start_ns = 0;  ///< clock of runtime::SteadyNs
  std::int64_t duration_ns = 0;
};

/// Exchanges run in the order of Start(), which must be the same on every rank.
/// owns     a thread. The communicator must outlive it, and no other thread may call the
///          communicator while an exchange runs
/// threads  one caller
class ExchangeQueue {
 public:
  explicit ExchangeQueue(runtime::Communicator& communicator);
  /// Drops the exchanges that have not begun and waits for the running one. Abort the communicator
  /// first when other ranks may never take part.
  ~ExchangeQueue();
  ExchangeQueue(const ExchangeQueue&) = delete;
  ExchangeQueue& operator=(const ExchangeQueue&) = delete;

  /// The buffers must not change until Wait() returns.
  void Start(const RoundBuffers& buffers);
  /// Waits for an exchange; `index` counts calls of Start() from 0.
  /// errors  the exception of the communicator in this exchange or an earlier one
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
  std::thread thread_;  // declared last: the thread uses the members above
};

}  // namespace dbsp::replay
