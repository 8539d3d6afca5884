// SPDX-License-Identifier: Apache-2.0
// Set bits of word lists. The instruction set is chosen at run time, because the library is built
// for baseline x86-64, which has no instruction that counts bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Set bits of all words.
[[nodiscard]] std::int64_t CountBits(std::span<const std::uint64_t> words);

/// Set bits of a[w] & b[w]. requires equal lengths
[[nodiscard]] std::int64_t CountBits(std::span<const std::uint64_t> a,
                                     std::span<const std::uint64_t> b);

/// A word of a row, and the bits of it that are counted.
struct WordBits {
  std::size_t word = 0;
  std::uint64_t bits = 0;
};
/// counts[i * parts + p] = set bits of row i within part p. Row i starts at word i * pitch.
/// shape counts[rows * parts]
void CountParts(std::span<const std::uint64_t> words,
                std::size_t pitch,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int32_t> counts);

/// Bit-sliced rows. Row i has `planes` runs of `length` words; runs start `pitch` words apart. Bits
/// of run p have weight 2^p.
struct SlicedRows {
  const std::uint64_t* bits = nullptr;
  std::size_t rows = 0;
  std::size_t planes = 0;
  std::size_t pitch = 0;
  std::size_t length = 0;
};
/// sums[i * stride] += weighted set bits of row i within `select`. shape select[length]
void AddSelected(const SlicedRows& sliced,
                 const std::uint64_t* select,
                 std::size_t stride,
                 std::int64_t* sums);

}  // namespace dbsp::planner
