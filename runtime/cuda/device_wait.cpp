// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/device_wait.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>
#include <thread>

#include "core/error.h"
#include "runtime/clock.h"

namespace dbsp::runtime {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kDefaultDeadlineS = 120;
constexpr std::int64_t kMaxDeadlineS = 86'400;
/// Work that is done within this time is asked for without pauses.
constexpr std::int64_t kBusyNs = 50'000;
constexpr std::int64_t kMaxPauseNs = 500'000;

}  // namespace

std::int64_t DeviceDeadlineNs() {
  const char* set = std::getenv(kDeviceDeadlineVariable);
  if (set == nullptr) return kDefaultDeadlineS * kSecondNs;
  const std::string_view text(set);
  std::int64_t seconds = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  if (!whole || seconds < 1 || seconds > kMaxDeadlineS) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: expected whole seconds from 1 to {}, found '{}'",
         kDeviceDeadlineVariable,
         kMaxDeadlineS,
         text);
  }
  return seconds * kSecondNs;
}

void WaitForDevice(const std::function<bool()>& done, const char* what) {
  const std::int64_t deadline_ns = DeviceDeadlineNs();
  const std::int64_t begin = SteadyNs();
  while (!done()) {
    const std::int64_t waited = SteadyNs() - begin;
    if (waited > deadline_ns) EndOverdue(what, deadline_ns);
    if (waited < kBusyNs) continue;
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(waited / 16, kMaxPauseNs)));
  }
}

void EndOverdue(const char* what, std::int64_t deadline_ns) {
  std::fprintf(
      stderr,
      "dbsp: %s: not done on the device after %lld s (%s); a kernel hangs, so this process "
      "ends\n",
      what,
      static_cast<long long>(deadline_ns / kSecondNs),
      kDeviceDeadlineVariable);
  std::fflush(nullptr);
  std::_Exit(ExitCode(ErrorCode::kInternal));
}

}  // namespace dbsp::runtime
