// SPDX-License-Identifier: Apache-2.0
#include "core/terminal_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

namespace dbsp {
namespace {

/// Code points, both ends included, that a terminal does not show as characters of a line.
constexpr std::array<std::pair<std::uint32_t, std::uint32_t>, 12> kEscaped{{
    {0x00, 0x1f},
    {0x7f, 0x9f},
    {0xad, 0xad},
    {0x61c, 0x61c},
    {0x180e, 0x180e},
    {0x200b, 0x200f},
    {0x2028, 0x202e},
    {0x2060, 0x206f},
    {0xfeff, 0xfeff},
    {0xfff9, 0xfffb},
    {0x1d173, 0x1d17a},
    {0xe0000, 0xe0fff},
}};

bool IsEscaped(std::uint32_t point) {
  return std::any_of(kEscaped.begin(), kEscaped.end(), [point](const auto& range) {
    return range.first <= point && point <= range.second;
  });
}

struct Decoded {
  std::uint32_t point = 0;
  std::size_t bytes = 0;  ///< 0: not UTF-8
};

Decoded DecodeFirst(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  std::uint32_t point = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    point = point << 6U | (byte(i) & 0x3fU);
  }
  const bool overlong = (size == 3 && point < 0x800) || (size == 4 && point < 0x10000);
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  if (overlong || surrogate || point > 0x10ffff) return {};
  return {point, size};
}

void AppendEscaped(std::uint32_t point, std::string& out) {
  if (point == '\n') {
    out += "\\n";
  } else if (point == '\t') {
    out += "\\t";
  } else if (point == '\r') {
    out += "\\r";
  } else if (point < 0x10000) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", point);
  } else {
    const std::uint32_t offset = point - 0x10000;
    fmt::format_to(std::back_inserter(out),
                   "\\u{:04x}\\u{:04x}",
                   0xd800 + (offset >> 10U),
                   0xdc00 + (offset & 0x3ffU));
  }
}

std::string Escape(std::string_view text, bool keep_line_feeds) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto* plain =
        std::find_if_not(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
    out.append(text.begin(), plain);
    text.remove_prefix(static_cast<std::size_t>(plain - text.begin()));
    if (text.empty()) break;
    const Decoded next = DecodeFirst(text);
    if (next.bytes == 0) {
      fmt::format_to(
          std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else if (IsEscaped(next.point) && !(keep_line_feeds && next.point == '\n')) {
      AppendEscaped(next.point, out);
    } else {
      out += text.substr(0, next.bytes);
    }
    text.remove_prefix(std::max<std::size_t>(next.bytes, 1));
  }
  return out;
}

}  // namespace

std::string TerminalLine(std::string_view text) { return Escape(text, false); }
std::string TerminalText(std::string_view text) { return Escape(text, true); }

}  // namespace dbsp
