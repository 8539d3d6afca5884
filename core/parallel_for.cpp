// SPDX-License-Identifier: Apache-2.0
#include "core/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cli.h"
#include "core/error.h"

namespace dbsp {
namespace {

/// Once per process: a search runs many loops.
void SayFewerThreads(int started, int wanted, const std::system_error& problem) {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  Progress(fmt::format("note: {} of {} threads could be started ({}); the work goes on with them",
                       started,
                       wanted,
                       problem.code().message()));
}

}  // namespace

int ThreadCount(int threads) {
  return threads > 0 ? threads
                     : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

void ParallelFor(int count, int threads, const std::function<void(int)>& body) {
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&] {
    for (int i = next++; i < count && !failed; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    const int wanted = std::min(ThreadCount(threads), count);
    try {
      for (int t = 1; t < wanted; ++t) others.emplace_back(work);
    } catch (const std::system_error& problem) {
      SayFewerThreads(static_cast<int>(others.size()) + 1, wanted, problem);
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

std::thread StartThread(std::function<void()> body) {
  try {
    return std::thread(std::move(body));
  } catch (const std::system_error& problem) {
    Fail(ErrorCode::kUnavailable,
         "cannot start a thread: {}; raise the limit of processes (ulimit -u)",
         problem.code().message());
  }
}

}  // namespace dbsp
