// SPDX-License-Identifier: Apache-2.0
// Set bits of word lists, with the processor's own instruction where it has one: the baseline
// x86-64 instruction set that the library is built for counts bits by table.
#pragma once

#include <cstdint>
#include <span>

namespace dbsp::planner {

/// Set bits of all words.
[[nodiscard]] std::int64_t CountBits(std::span<const std::uint64_t> words);

/// Set bits of a[w] & b[w]. requires equal lengths
[[nodiscard]] std::int64_t CountBits(std::span<const std::uint64_t> a,
                                     std::span<const std::uint64_t> b);

}  // namespace dbsp::planner
