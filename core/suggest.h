// SPDX-License-Identifier: Apache-2.0
// Suggestions for misspelt names.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace dbsp {

/// Fewest edits (insert, delete, replace, swap of two neighbours) that turn `a` into `b`.
[[nodiscard]] int EditDistance(std::string_view a, std::string_view b);

/// The candidate with the smallest distance to `word` (ties: the first), "" without candidates.
[[nodiscard]] std::string NearestName(std::string_view word,
                                      std::span<const std::string> candidates);

/// `unknown WHAT 'WORD'; nearest known: 'X' (known: a, b, c)` for an error message.
[[nodiscard]] std::string UnknownName(std::string_view what,
                                      std::string_view word,
                                      std::span<const std::string> candidates);

}  // namespace dbsp
