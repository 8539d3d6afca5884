// SPDX-License-Identifier: Apache-2.0
// Set bits of word lists. The instruction set is chosen at run time, because the library is built
// for baseline x86-64, which has no instruction that counts bits.
#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <vector>

namespace dbsp::planner {

/// Allocates on a cache line: vector loads across two lines take twice as long.
template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  CacheLineAllocator() = default;
  template <typename Other>
  explicit CacheLineAllocator(const CacheLineAllocator<Other>&) {}
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), kLine));
  }
  void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
  bool operator==(const CacheLineAllocator&) const = default;

 private:
  static constexpr std::align_val_t kLine{64};
};
using AlignedWords = std::vector<std::uint64_t, CacheLineAllocator<std::uint64_t>>;

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
/// counts[p] = set bits of one row within part p. shape counts[parts]
void CountParts(std::span<const std::uint64_t> row,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int64_t> counts);

/// Rows are counted this many at a time.
inline constexpr std::size_t kRowLanes = 8;
/// One row, in the upper half of a count. A sum of counts is then the blocks and the active rows.
inline constexpr std::uint64_t kActiveRow = 1ULL << 32;
/// counts[p * pitch + i] = set bits of row i within part p, plus kActiveRow if there are any. Word
/// w of row i is words[w * pitch + i]. requires pitch a multiple of kRowLanes. shape counts[parts *
/// pitch]
void CountRowParts(std::span<const std::uint64_t> words,
                   std::size_t pitch,
                   std::span<const std::vector<WordBits>> parts,
                   std::span<std::uint64_t> counts);

/// counts[p * pitch + i] = set bits of row i within part p, those of plane n with weight 2^n. Word
/// w of row i of plane n is words[(n * length + w) * pitch + i]. requires pitch a multiple of
/// kRowLanes. shape counts[parts * pitch]
void CountSlicedRowParts(std::span<const std::uint64_t> words,
                         std::size_t length,
                         std::size_t pitch,
                         std::span<const std::vector<WordBits>> parts,
                         std::span<std::uint64_t> counts);

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
