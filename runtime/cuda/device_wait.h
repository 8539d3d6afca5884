// SPDX-License-Identifier: Apache-2.0
// Waits of the host for work on a GPU. Every wait has a deadline, because a kernel that never ends
// blocks cudaDeviceSynchronize(), cudaFree() and the end of the process for ever.
#pragma once

#include <cstdint>
#include <functional>

namespace dbsp::runtime {

/// Name of the environment variable with the deadline of a wait: whole seconds, 1 to 86400.
inline constexpr const char* kDeviceDeadlineVariable = "DBSP_DEVICE_DEADLINE_S";

/// The deadline that DBSP_DEVICE_DEADLINE_S sets, else 120 s.
/// units   nanoseconds
/// errors  Error{kInvalidArgument} for another value
[[nodiscard]] std::int64_t DeviceDeadlineNs();

/// Asks `done` until it returns true. The pause between two questions is a sixteenth of the time
/// waited so far and at most half a millisecond, so that a trace of API calls stays short. At the
/// deadline the process ends as EndOverdue() does.
/// what    names the work
/// errors  as DeviceDeadlineNs(); errors of `done`
void WaitForDevice(const std::function<bool()>& done, const char* what);

/// Ends the process with exit code 4 and one line on stderr that names the work. Nothing else stops
/// a kernel, and destructors would wait for it. The parent of a worker process restarts it.
[[noreturn]] void EndOverdue(const char* what, std::int64_t deadline_ns);

}  // namespace dbsp::runtime
