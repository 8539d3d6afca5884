// SPDX-License-Identifier: Apache-2.0
// Writes a data document into one self-contained HTML file. Independent of the document's contents.
#pragma once

#include <string>
#include <string_view>

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
/// output. errors  Error{kInternal} when zlib reports an error
[[nodiscard]] std::string Gzip(std::string_view bytes);

/// The HTML file: template, style, script and `json`, which is compressed above kPlainDataBytes.
/// requires json is UTF-8 JSON text
[[nodiscard]] std::string RenderHtml(const PageBundle& page,
                                     std::string_view title,
                                     std::string_view json);

}  // namespace dbsp::reports
