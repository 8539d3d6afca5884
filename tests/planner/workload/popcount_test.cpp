// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/popcount.h"

#include <gtest/gtest.h>

#include <random>

#include "planner/workload/bit_counter.h"
#include "planner/workload/bit_transpose.h"
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
      const std::size_t pitch = kRowLanes * static_cast<std::size_t>(Draw(random, 0, 3));
      const auto words = static_cast<std::size_t>(Draw(random, 1, 20));
      const auto by_word = RandomWords(random, words * pitch);
      std::vector<std::vector<WordBits>> parts(static_cast<std::size_t>(Draw(random, 1, 4)));
      for (auto& part : parts) {
        for (std::size_t w = 0; w < words; ++w) {
          if (Draw(random, 0, 1) == 0) part.push_back({w, random()});
        }
      }
      std::vector<std::uint64_t> counts(pitch * parts.size(), 1);
      CountRowParts(by_word, pitch, parts, counts);
      for (std::size_t i = 0; i < pitch; ++i) {
        std::vector<std::uint64_t> row;
        for (std::size_t w = 0; w < words; ++w) row.push_back(by_word[w * pitch + i]);
        std::vector<std::int64_t> of_row(parts.size(), -1);
        CountParts(row, parts, of_row);
        for (std::size_t p = 0; p < parts.size(); ++p) {
          std::int64_t expected = 0;
          for (const WordBits& part : parts[p]) expected += BitByBit(row[part.word], part.bits);
          ASSERT_EQ(of_row[p], expected);
          ASSERT_EQ(counts[p * pitch + i],
                    static_cast<std::uint64_t>(expected) + (expected > 0 ? kActiveRow : 0));
        }
      }
    }
  });
}

TEST(BitTransposeTest, BitsChangePlacesWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(49);
    for (int trial = 0; trial < 20; ++trial) {
      const auto before = RandomWords(random, 64);
      std::vector<std::uint64_t> after = before;
      TransposeBits(after.data());
      for (std::size_t i = 0; i < 64; ++i) {
        for (std::size_t j = 0; j < 64; ++j) {
          ASSERT_EQ((after[j] >> i) & 1U, (before[i] >> j) & 1U) << i << ", " << j;
        }
      }
    }
  });
}

TEST(BitCounterTest, ListsAreAddedUpBitByBitWithEveryInstructionSet) {
  ForEachTarget([] {
    std::mt19937_64 random(50);
    for (int trial = 0; trial < 50; ++trial) {
      const auto words = static_cast<std::size_t>(Draw(random, 1, 20));
      std::vector<std::vector<std::uint64_t>> lists;
      for (int n = Draw(random, 0, 40); n > 0; --n) lists.push_back(RandomWords(random, words));
      std::vector<const std::uint64_t*> starts;
      for (const auto& list : lists) starts.push_back(list.data());
      const auto shifted = RandomWords(random, words);
      BitCounter counter(words);
      counter.Add(starts);
      counter.AddShifted(shifted.data(), 2);
      std::vector<std::int64_t> sums(64 * words, 0);
      counter.AddTo(sums.size(), 1, sums.data());
      for (std::size_t j = 0; j < sums.size(); ++j) {
        const auto bit = [j](const std::vector<std::uint64_t>& list) {
          return static_cast<std::int64_t>((list[j / 64] >> (j % 64)) & 1U);
        };
        std::int64_t expected = 4 * bit(shifted);
        for (const auto& list : lists) expected += bit(list);
        ASSERT_EQ(sums[j], expected);
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
