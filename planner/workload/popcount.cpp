// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/popcount.h"

#include <bit>

#include "core/error.h"

namespace dbsp::planner {
namespace {

/// The same loop twice, so that no resolver runs before a sanitizer is ready (as with ifuncs).
#define DBSP_COUNT_LOOP(expression)                          \
  std::int64_t count = 0;                                    \
  for (std::size_t w = 0; w < n; ++w) count += (expression); \
  return count

std::int64_t OnesPlain(const std::uint64_t* a, std::size_t n) {
  DBSP_COUNT_LOOP(std::popcount(a[w]));
}
std::int64_t CommonPlain(const std::uint64_t* a, const std::uint64_t* b, std::size_t n) {
  DBSP_COUNT_LOOP(std::popcount(a[w] & b[w]));
}

#define DBSP_SELECT_LOOP(count_bits)                                                           \
  for (std::size_t i = 0; i < sliced.rows; ++i) {                                              \
    std::int64_t sum = 0;                                                                      \
    for (std::size_t p = 0; p < sliced.planes; ++p) {                                          \
      const std::uint64_t* run = sliced.bits + (i * sliced.planes + p) * sliced.pitch;         \
      std::int64_t count = 0;                                                                  \
      for (std::size_t w = 0; w < sliced.length; ++w) count += count_bits(run[w] & select[w]); \
      sum += count << p;                                                                       \
    }                                                                                          \
    sums[i * stride] += sum;                                                                   \
  }

#define DBSP_PARTS_LOOP(count_bits)                                                 \
  const std::size_t rows = counts.size() / parts.size();                            \
  for (std::size_t i = 0; i < rows; ++i) {                                          \
    const std::uint64_t* row = words.data() + i * pitch;                            \
    for (std::size_t p = 0; p < parts.size(); ++p) {                                \
      std::int32_t count = 0;                                                       \
      for (const WordBits& part : parts[p]) {                                       \
        count += static_cast<std::int32_t>(count_bits(row[part.word] & part.bits)); \
      }                                                                             \
      counts[i * parts.size() + p] = count;                                         \
    }                                                                               \
  }

void PartsPlain(std::span<const std::uint64_t> words,
                std::size_t pitch,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int32_t> counts) {
  DBSP_PARTS_LOOP(std::popcount)
}

void SelectPlain(const SlicedRows& sliced,
                 const std::uint64_t* select,
                 std::size_t stride,
                 std::int64_t* sums) {
  DBSP_SELECT_LOOP(std::popcount)
}

#if defined(__x86_64__)
[[gnu::target("popcnt")]] void PartsPopcnt(std::span<const std::uint64_t> words,
                                           std::size_t pitch,
                                           std::span<const std::vector<WordBits>> parts,
                                           std::span<std::int32_t> counts) {
  DBSP_PARTS_LOOP(__builtin_popcountll)
}
[[gnu::target("popcnt")]] void SelectPopcnt(const SlicedRows& sliced,
                                            const std::uint64_t* select,
                                            std::size_t stride,
                                            std::int64_t* sums) {
  DBSP_SELECT_LOOP(__builtin_popcountll)
}
[[gnu::target("popcnt")]] std::int64_t OnesPopcnt(const std::uint64_t* a, std::size_t n) {
  DBSP_COUNT_LOOP(__builtin_popcountll(a[w]));
}
[[gnu::target("popcnt")]] std::int64_t CommonPopcnt(const std::uint64_t* a,
                                                    const std::uint64_t* b,
                                                    std::size_t n) {
  DBSP_COUNT_LOOP(__builtin_popcountll(a[w] & b[w]));
}
bool HasPopcnt() {
  static const bool has = __builtin_cpu_supports("popcnt") != 0;
  return has;
}
#endif

}  // namespace

std::int64_t CountBits(std::span<const std::uint64_t> words) {
#if defined(__x86_64__)
  if (HasPopcnt()) return OnesPopcnt(words.data(), words.size());
#endif
  return OnesPlain(words.data(), words.size());
}

std::int64_t CountBits(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  DBSP_DCHECK(a.size() == b.size());
#if defined(__x86_64__)
  if (HasPopcnt()) return CommonPopcnt(a.data(), b.data(), a.size());
#endif
  return CommonPlain(a.data(), b.data(), a.size());
}

void CountParts(std::span<const std::uint64_t> words,
                std::size_t pitch,
                std::span<const std::vector<WordBits>> parts,
                std::span<std::int32_t> counts) {
  if (parts.empty()) return;
#if defined(__x86_64__)
  if (HasPopcnt()) return PartsPopcnt(words, pitch, parts, counts);
#endif
  PartsPlain(words, pitch, parts, counts);
}

void AddSelected(const SlicedRows& sliced,
                 const std::uint64_t* select,
                 std::size_t stride,
                 std::int64_t* sums) {
#if defined(__x86_64__)
  if (HasPopcnt()) return SelectPopcnt(sliced, select, stride, sums);
#endif
  SelectPlain(sliced, select, stride, sums);
}

}  // namespace dbsp::planner
