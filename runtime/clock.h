// SPDX-License-Identifier: Apache-2.0
// The clocks that CPU work is timed with; one place, so that profile and replay read the same one.
#pragma once

#include <cstdint>

namespace dbsp::runtime {

/// Wall time, nanoseconds; never goes back. For what several threads do together.
[[nodiscard]] std::int64_t SteadyNs();

/// Time the calling thread has spent on a core, nanoseconds. For what one thread does alone: on a
/// machine that other programs use too, wall time would also count their turns on the core. On an
/// idle machine both are equal.
[[nodiscard]] std::int64_t ThreadNs();

}  // namespace dbsp::runtime
