// SPDX-License-Identifier: Apache-2.0
#include "core/number_flag.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace dbsp {
namespace {

/// Whether `text` is wholly a number that T holds.
template <typename T>
bool Reads(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc() && stop == end;
}

bool LeadingZero(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return text.size() > 1 && text.front() == '0';
}

/// What the text should be; nullptr if it is that.
template <typename T>
const char* IntegerProblem(std::string_view text) {
  T value{};
  if (Reads(text, value) && !LeadingZero(text)) return nullptr;
  return std::is_signed_v<T> ? "a decimal integer of 64 bits"
                             : "a decimal integer from 0 to 2^64 - 1";
}

const char* FloatProblem(std::string_view text) {
  double value = 0;
  return Reads(text, value) && std::isfinite(value) ? nullptr : "a finite number";
}

}  // namespace

void CheckNumberFlags(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    // "INT:INT in [1 - 8]" with a range.
    const std::string type = option->get_type_name();
    for (const std::string& text : option->results()) {
      const char* problem = nullptr;
      if (type.starts_with("INT")) problem = IntegerProblem<std::int64_t>(text);
      if (type.starts_with("UINT")) problem = IntegerProblem<std::uint64_t>(text);
      if (type.starts_with("FLOAT")) problem = FloatProblem(text);
      if (problem == nullptr) continue;
      Fail(ErrorCode::kInvalidArgument,
           "{}: expected {}, found '{}'",
           option->get_name(),
           problem,
           text);
    }
  }
  for (const CLI::App* command : app.get_subcommands()) CheckNumberFlags(*command);
}

}  // namespace dbsp
