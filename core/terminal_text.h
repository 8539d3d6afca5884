// SPDX-License-Identifier: Apache-2.0
// Text from files, made safe for a terminal. Names in workloads, plans and databases may hold
// escape sequences, which change colours or titles, and characters that reorder or forge lines.
#pragma once

#include <string>
#include <string_view>

namespace dbsp {

/// `text` with every control character, line or paragraph separator, and invisible formatting
/// character (such as those that reverse the direction) as \n, \t or \u001b, and every byte that is
/// not UTF-8 as \xff. The escapes are those of JSON, so an escaped JSON document has the same
/// values. Escaping twice changes nothing more.
[[nodiscard]] std::string TerminalLine(std::string_view text);

/// As TerminalLine(), but line feeds remain: for texts of several lines, whose names have been
/// through TerminalLine().
[[nodiscard]] std::string TerminalText(std::string_view text);

}  // namespace dbsp
