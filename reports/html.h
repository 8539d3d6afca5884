// SPDX-License-Identifier: Apache-2.0
// Writes a data document into one self-contained HTML file. Independent of the document's contents.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reports/page_bundle.h"

namespace dbsp::reports {

/// Largest document that is stored as readable JSON; larger ones are stored as gzip + base64.
inline constexpr std::size_t kPlainDataBytes = 256 * 1024;

/// Equivalent JSON text without '<', so that no string in it can end the script element around it
/// or begin a comment. '<' occurs only in strings of JSON and is replaced by its escape.
[[nodiscard]] std::string EscapeForScript(std::string_view json);

/// Replaces & < > " ' in `text` by character references.
[[nodiscard]] std::string EscapeHtml(std::string_view text);

/// Compresses `bytes` as a gzip member without a time stamp, so that equal input gives equal
/// output.
/// errors  Error{kInternal} when zlib reports an error
[[nodiscard]] std::string Gzip(std::string_view bytes);

/// A compressed part of the page: id of its element ("dbsp-segments-0") and gzip bytes.
struct PageStream {
  std::string id;
  std::string bytes;
};

/// What a page shows: UTF-8 JSON text, and parts that are packed apart from it.
struct PageData {
  std::string json;
  std::vector<PageStream> streams;
};

/// The HTML file: template, style, script and the data, whose JSON is compressed above
/// kPlainDataBytes.
[[nodiscard]] std::string RenderHtml(const PageBundle& page,
                                     std::string_view title,
                                     const PageData& data);

}  // namespace dbsp::reports
