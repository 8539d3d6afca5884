// SPDX-License-Identifier: Apache-2.0
#include "reports/html.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "core/base64.h"
#include "core/error.h"

namespace dbsp::reports {
namespace {

/// Replaces the placeholders in one pass, so that a value that contains a placeholder is not
/// changed.
std::string Fill(std::string_view text,
                 const std::array<std::pair<std::string_view, std::string_view>, 6>& values) {
  std::string out;
  while (true) {
    std::size_t nearest = std::string_view::npos;
    const std::pair<std::string_view, std::string_view>* found = nullptr;
    for (const auto& value : values) {
      const std::size_t at = text.find(value.first);
      if (at < nearest) {
        nearest = at;
        found = &value;
      }
    }
    if (found == nullptr) return out.append(text);
    out.append(text.substr(0, nearest)).append(found->second);
    text.remove_prefix(nearest + found->first.size());
  }
}

}  // namespace

std::string EscapeForScript(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Gzip(std::string_view bytes) {
  constexpr int kGzipWindow = 15 + 16;  // 16 selects a gzip header and trailer
  z_stream stream{};
  const int ready = deflateInit2(&stream, 6, Z_DEFLATED, kGzipWindow, 9, Z_DEFAULT_STRATEGY);
  if (ready == Z_MEM_ERROR) throw std::bad_alloc();
  if (ready != Z_OK) {
    Fail(ErrorCode::kInternal, "zlib: deflateInit2: {}", stream.msg ? stream.msg : "no message");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  // zlib counts in unsigned int, so input and output are passed in pieces.
  constexpr std::size_t kPiece = 1U << 30U;
  std::size_t fed = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    const std::size_t piece = std::min(kPiece, bytes.size() - fed);
    const std::size_t room =
        std::min(kPiece, out.size() - static_cast<std::size_t>(stream.total_out));
    // zlib does not write through next_in, although its type is not const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + fed));
    stream.avail_in = static_cast<uInt>(piece);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + stream.total_out);
    stream.avail_out = static_cast<uInt>(room);
    state = deflate(&stream, fed + piece == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
    fed += piece - stream.avail_in;
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (state != Z_STREAM_END) Fail(ErrorCode::kInternal, "zlib: deflate returned {}", state);
  return out;
}

std::string RenderHtml(const PageBundle& page, std::string_view title, const PageData& data) {
  const bool plain = data.json.size() <= kPlainDataBytes;
  const std::string json = plain ? EscapeForScript(data.json) : Base64Encode(Gzip(data.json));
  const std::string safe_title = EscapeHtml(title);
  std::string streams;
  for (const PageStream& stream : data.streams) {
    streams += "<script type=\"application/gzip\" id=\"" + EscapeHtml(stream.id) + "\">" +
               Base64Encode(stream.bytes) + "</script>\n";
  }
  return Fill(page.html,
              {{{"@TITLE@", safe_title},
                {"@STYLE@", page.style},
                {"@SCRIPT@", page.script},
                {"@DATA@", json},
                {"@STREAMS@", streams},
                {"@ENCODING@", plain ? "json" : "gzip+base64"}}});
}

}  // namespace dbsp::reports
