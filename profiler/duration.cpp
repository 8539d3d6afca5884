// SPDX-License-Identifier: Apache-2.0
#include "profiler/duration.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "core/error.h"
#include "core/units.h"

namespace dbsp::profiler {

std::int64_t ParseDurationNs(const std::string& text, const std::string& flag) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
  double seconds = 0;
  if (unit.empty() || unit == "s") seconds = value;
  if (unit == "ms") seconds = value / 1e3;
  if (unit == "m") seconds = value * 60;
  if (unit == "h") seconds = value * 3600;
  // Longer than any run, and within the range of nanoseconds.
  constexpr double kYear = 365.0 * 24 * 3600;
  if (error != std::errc() || !(seconds > 0) || seconds > kYear) {
    Fail(ErrorCode::kInvalidArgument,
         "{} '{}': expected a duration such as 500ms, 60s, 5m or 1h",
         flag,
         text);
  }
  return static_cast<std::int64_t>(std::llround(seconds * kNsPerSecond));
}

}  // namespace dbsp::profiler
