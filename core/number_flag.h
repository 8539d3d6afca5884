// SPDX-License-Identifier: Apache-2.0
// The check of flags with a floating-point value.
#pragma once

#include <functional>
#include <string>

namespace dbsp {

/// A check for CLI::Option::check(): a finite number from `low` to `high`. CLI::Range accepts NaN,
/// for NaN is neither below nor above a bound.
/// returns  a function from the text of the flag to the problem, "" if there is none
[[nodiscard]] std::function<std::string(const std::string&)> FiniteNumber(double low, double high);

/// The text that --help shows for it: "in [0 - 1000]".
[[nodiscard]] std::string RangeText(double low, double high);

}  // namespace dbsp
