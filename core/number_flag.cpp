// SPDX-License-Identifier: Apache-2.0
#include "core/number_flag.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace dbsp {

std::function<std::string(const std::string&)> FiniteNumber(double low, double high) {
  return [low, high](const std::string& text) -> std::string {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data(), end, value);
    const bool finite = problem == std::errc() && stop == end && std::isfinite(value);
    if (finite && value >= low && value <= high) return "";
    return fmt::format("expected a finite number from {:g} to {:g}, found '{}'", low, high, text);
  };
}

std::string RangeText(double low, double high) {
  return fmt::format("FLOAT in [{:g} - {:g}]", low, high);
}

}  // namespace dbsp
