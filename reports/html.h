// SPDX-License-Identifier: Apache-2.0
// One self-contained HTML file around a data document. Nothing here knows what the document says.
#pragma once

#include <string>
#include <string_view>

#include "reports/page_bundle.h"

namespace dbsp::reports {

/// A document above this size is stored as gzip + base64, below it as readable JSON.
inline constexpr std::size_t kPlainDataBytes = 256 * 1024;

/// JSON text that is the same to a JSON parser and cannot end or comment out the script element
/// that holds it: every '<' of `json` becomes an escape. In JSON '<' occurs in strings only.
[[nodiscard]] std::string EscapeForScript(std::string_view json);

/// `text` with & < > " ' as character references.
[[nodiscard]] std::string EscapeHtml(std::string_view text);

/// gzip member of `bytes`, the same bytes for the same input (no time stamp).
/// errors  Error{kInternal} when zlib refuses
[[nodiscard]] std::string Gzip(std::string_view bytes);

/// The file: template, style, script, and `json` in the encoding its size asks for.
/// requires json is UTF-8 JSON text
[[nodiscard]] std::string RenderHtml(const PageBundle& page,
                                     std::string_view title,
                                     std::string_view json);

}  // namespace dbsp::reports
