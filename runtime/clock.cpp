// SPDX-License-Identifier: Apache-2.0
#include "runtime/clock.h"

#include <chrono>
#include <ctime>

#include "core/error.h"

namespace dbsp::runtime {

std::int64_t SteadyNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::int64_t ThreadNs() {
  timespec time{};
  DBSP_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace dbsp::runtime
