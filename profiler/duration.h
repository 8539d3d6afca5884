// SPDX-License-Identifier: Apache-2.0
// Durations in flags.
#pragma once

#include <cstdint>
#include <string>

namespace dbsp::profiler {

/// "500ms", "60s", "5m", "1.5h", or seconds without a unit. units returns nanoseconds
/// errors  Error{kInvalidArgument} with the name of `flag` for any other text, and for 0 or less
[[nodiscard]] std::int64_t ParseDurationNs(const std::string& text, const std::string& flag);

}  // namespace dbsp::profiler
