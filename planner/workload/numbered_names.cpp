// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/numbered_names.h"

#include <cctype>

namespace dbsp {

Numbered SplitNumbers(const std::string& name) {
  Numbered split;
  bool inside = false;
  for (const char c : name) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (digit && !inside) {
      split.pattern += '*';
      split.numbers.emplace_back();
    }
    if (digit) split.numbers.back() += c;
    if (!digit) split.pattern += c;
    inside = digit;
  }
  return split;
}

std::optional<std::vector<std::int64_t>> NumbersOf(const std::string& name) {
  std::vector<std::int64_t> numbers;
  for (const std::string& number : SplitNumbers(name).numbers) {
    if (number.size() > 9) return std::nullopt;
    numbers.push_back(std::stoll(number));
  }
  return numbers;
}

}  // namespace dbsp
