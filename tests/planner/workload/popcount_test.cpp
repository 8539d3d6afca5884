// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/popcount.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/planner/each_target.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

std::vector<std::uint64_t> RandomWords(std::mt19937_64& random, std::size_t count) {
  std::vector<std::uint64_t> words(count);
  for (std::uint64_t& word : words) word = Draw(random, 0, 1) == 0 ? random() : random() & random();
  return words;
}

/// Set bits of a & b, bit by bit.
std::int64_t BitByBit(std::uint64_t a, std::uint64_t b) {
  std::int64_t count = 0;
  for (int bit = 0; bit < 64; ++bit) count += static_cast<std::int64_t>((a & b) >> bit & 1U);
  return count;
}

TEST(PopcountTest, ListsAreCountedBitByBitWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(46);
    for (int trial = 0; trial < 200; ++trial) {
      const auto a = RandomWords(random, static_cast<std::size_t>(Draw(random, 0, 40)));
      const auto b = RandomWords(random, a.size());
      std::int64_t ones = 0;
      std::int64_t common = 0;
      for (std::size_t w = 0; w < a.size(); ++w) {
        ones += BitByBit(a[w], a[w]);
        common += BitByBit(a[w], b[w]);
      }
      ASSERT_EQ(CountBits(a), ones);
      ASSERT_EQ(CountBits(a, b), common);
    }
  });
}

TEST(PopcountTest, PartsOfRowsAreCountedBitByBitWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(47);
    for (int trial = 0; trial < 100; ++trial) {
      const auto rows = static_cast<std::size_t>(Draw(random, 0, 5));
      const auto pitch = static_cast<std::size_t>(Draw(random, 1, 20));
      const auto words = RandomWords(random, rows * pitch);
      std::vector<std::vector<WordBits>> parts(static_cast<std::size_t>(Draw(random, 1, 4)));
      for (auto& part : parts) {
        for (std::size_t w = 0; w < pitch; ++w) {
          if (Draw(random, 0, 1) == 0) part.push_back({w, random()});
        }
      }
      std::vector<std::int32_t> counts(rows * parts.size(), -1);
      CountParts(words, pitch, parts, counts);
      for (std::size_t i = 0; i < counts.size(); ++i) {
        std::int64_t expected = 0;
        for (const WordBits& part : parts[i % parts.size()]) {
          expected += BitByBit(words[i / parts.size() * pitch + part.word], part.bits);
        }
        ASSERT_EQ(counts[i], expected);
      }
    }
  });
}

TEST(PopcountTest, SlicedRowsAreWeightedByTheirPlanesWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(48);
    for (int trial = 0; trial < 100; ++trial) {
      SlicedRows sliced;
      sliced.rows = static_cast<std::size_t>(Draw(random, 0, 5));
      sliced.planes = static_cast<std::size_t>(Draw(random, 1, 5));
      sliced.length = static_cast<std::size_t>(Draw(random, 0, 20));
      sliced.pitch = sliced.length + static_cast<std::size_t>(Draw(random, 0, 2));
      const auto bits = RandomWords(random, sliced.rows * sliced.planes * sliced.pitch);
      sliced.bits = bits.data();
      const auto select = RandomWords(random, sliced.length);
      const std::size_t stride = 3;
      std::vector<std::int64_t> sums(sliced.rows * stride, 7);
      AddSelected(sliced, select.data(), stride, sums.data());
      for (std::size_t i = 0; i < sliced.rows; ++i) {
        std::int64_t expected = 7;
        for (std::size_t p = 0; p < sliced.planes; ++p) {
          const std::uint64_t* run = bits.data() + (i * sliced.planes + p) * sliced.pitch;
          for (std::size_t w = 0; w < sliced.length; ++w) {
            expected += BitByBit(run[w], select[w]) << p;
          }
        }
        ASSERT_EQ(sums[i * stride], expected);
        ASSERT_EQ(sums[i * stride + 1], 7);
      }
    }
  });
}

}  // namespace
}  // namespace dbsp::planner
