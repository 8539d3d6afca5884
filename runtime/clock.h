// SPDX-License-Identifier: Apache-2.0
// The clocks for timing work on the CPU. Profiler and replay use the same ones.
#pragma once

#include <cstdint>

namespace dbsp::runtime {

/// Wall time in nanoseconds, which never goes back. For work of several threads together.
[[nodiscard]] std::int64_t SteadyNs();

/// Time that the calling thread has spent on a core, in nanoseconds. For work of one thread: wall
/// time would also count the time of other programs on the core. Both are equal on an idle machine.
[[nodiscard]] std::int64_t ThreadNs();

/// Nanoseconds in seconds.
[[nodiscard]] inline double Seconds(std::int64_t ns) { return static_cast<double>(ns) * 1e-9; }

}  // namespace dbsp::runtime
