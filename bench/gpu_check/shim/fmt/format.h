// SPDX-License-Identifier: Apache-2.0
// The part of the fmt library that gpu_check and the sources it shares with dbsp use. gpu_check is
// built and carried to machines that lack fmt, so it always uses this one; everything else in the
// tree uses fmt itself. tests/bench/shim_test.cpp holds it to fmt's results.
//
// Knows {} and {:[[fill]align][0][width][.precision][type]} with < > ^ and d x f g e s; braces are
// doubled as in fmt. Wrong formats are not found at compile time here, but in the tree's own build.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace fmt {
namespace shim {

struct Spec {
  char fill = ' ';
  char align = '\0';
  bool zeros = false;  ///< the width is filled with zeros behind the sign
  int width = 0;
  int precision = -1;
  char type = '\0';
};

inline int ReadNumber(std::string_view& text) {
  int value = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    value = 10 * value + (text.front() - '0');
    text.remove_prefix(1);
  }
  return value;
}

inline Spec ReadSpec(std::string_view text) {
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^'; };
  Spec spec;
  if (text.size() >= 2 && is_align(text[1])) {
    spec.fill = text[0];
    spec.align = text[1];
    text.remove_prefix(2);
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && text.front() == '0') {
    spec.zeros = spec.align == '\0';
    text.remove_prefix(1);
  }
  spec.width = ReadNumber(text);
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    spec.precision = ReadNumber(text);
  }
  if (!text.empty()) spec.type = text.front();
  return spec;
}

inline std::string Padded(const std::string& text, const Spec& spec, char align) {
  const auto width = static_cast<std::size_t>(spec.width);
  if (text.size() >= width) return text;
  const std::size_t missing = width - text.size();
  if (spec.zeros && align == '>') {
    const std::size_t sign = text.starts_with('-') ? 1 : 0;
    return text.substr(0, sign) + std::string(missing, '0') + text.substr(sign);
  }
  if (spec.align != '\0') align = spec.align;
  const std::size_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  return std::string(before, spec.fill) + text + std::string(missing - before, spec.fill);
}

template <typename Float>
std::string Number(Float value, const Spec& spec) {
  std::array<char, 400> text{};
  if (spec.precision < 0 && spec.type == '\0') {
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    return {text.data(), end};
  }
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  const char* format = spec.type == 'f' ? "%.*f" : spec.type == 'e' ? "%.*e" : "%.*g";
  std::snprintf(text.data(), text.size(), format, precision, static_cast<double>(value));
  return text.data();
}

template <typename Integer>
std::string Whole(Integer value, const Spec& spec) {
  std::array<char, 32> text{};
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, spec.type == 'x' ? 16 : 10).ptr;
  return {text.data(), end};
}

template <typename T>
std::string Text(const T& value, const Spec& spec) {
  if constexpr (std::is_same_v<T, bool>) {
    return Padded(value ? "true" : "false", spec, '<');
  } else if constexpr (std::is_same_v<T, char>) {
    return Padded(std::string(1, value), spec, '<');
  } else if constexpr (std::is_floating_point_v<T>) {
    return Padded(Number(value, spec), spec, '>');
  } else if constexpr (std::is_integral_v<T>) {
    return Padded(Whole(value, spec), spec, '>');
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    return Padded(std::string(std::string_view(value)), spec, '<');
  } else {
    static_assert(std::is_pointer_v<T>, "this stand-in for fmt formats numbers, text and pointers");
    const Spec hex{.type = 'x'};
    return Padded("0x" + Whole(reinterpret_cast<std::uintptr_t>(value), hex), spec, '>');
  }
}

struct Argument {
  const void* value;
  std::string (*text)(const void* value, const Spec& spec);
};

inline std::string Join(std::string_view format, const std::vector<Argument>& arguments) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    const bool doubled = i + 1 < format.size() && format[i + 1] == c;
    if ((c == '{' || c == '}') && doubled) {
      out += c;
      ++i;
    } else if (c == '{' && next < arguments.size()) {
      const std::size_t end = format.find('}', i);
      std::string_view spec = format.substr(i + 1, end - i - 1);
      if (!spec.empty()) spec.remove_prefix(1);  // the colon
      out += arguments[next].text(arguments[next].value, ReadSpec(spec));
      ++next;
      i = end;
    } else {
      out += c;
    }
  }
  return out;
}

template <typename T>
Argument ArgumentOf(const T& value) {
  using Plain = std::decay_t<T>;
  if constexpr (std::is_array_v<T>) {
    return {&value, [](const void* at, const Spec& spec) {
              return Text<std::string_view>(static_cast<const char*>(at), spec);
            }};
  } else {
    return {&value, [](const void* at, const Spec& spec) {
              return Text<Plain>(*static_cast<const Plain*>(at), spec);
            }};
  }
}

}  // namespace shim

template <typename... Args>
struct basic_format_string {
  template <typename S>
  requires std::is_convertible_v<const S&, std::string_view>
  constexpr basic_format_string(const S& s) : text(s) {}  // NOLINT: fmt's is implicit as well
  std::string_view text;
};
template <typename... Args>
using format_string = basic_format_string<std::type_identity_t<Args>...>;

template <typename... Args>
std::string format(format_string<Args...> text, Args&&... arguments) {
  return shim::Join(text.text, {shim::ArgumentOf(arguments)...});
}

}  // namespace fmt
