// SPDX-License-Identifier: Apache-2.0
// Ranges and pairs of tokens, blocks of variable size and bits, built by the rule of each library:
// the reader's bits are those of the definition, and arrays that lie are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/planner/workload/mask_objects.h"

namespace dbsp::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class MaskRegionsTest : public MaskObjects {};

MaskArrayOptions Packed(BitOrder order) {
  MaskArrayOptions options;
  options.packed = order;
  return options;
}

// --- ranges of tokens ---

/// Active pairs of a range by the definition of its type.
bool InRange(std::int64_t type, std::int64_t i, std::int64_t j, std::int64_t extra) {
  const bool causal = j <= i + extra;
  const bool inverse = j >= i;
  return type == 0 || (type == 1 && causal) || (type == 2 && inverse) ||
         (type == 3 && causal && inverse);
}

TEST_F(MaskRegionsTest, RangesGiveTheBlocksOfTheirPairsOfTokens) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 40; ++round) {
    Numbers queries;
    Numbers keys;
    Numbers types;
    Bits expected(kRows * kCols);
    for (int n = 0; n < 3; ++n) {
      const auto draw = [&](Numbers& ranges) {
        std::int64_t begin = static_cast<std::int64_t>(random() % (kTokens + 1));
        std::int64_t end = static_cast<std::int64_t>(random() % (kTokens + 1));
        if (begin > end) std::swap(begin, end);
        ranges.insert(ranges.end(), {begin, end});
        return std::pair(begin, end);
      };
      const auto [qb, qe] = draw(queries);
      const auto [kb, ke] = draw(keys);
      types.push_back(static_cast<std::int64_t>(random() % 4));
      for (std::int64_t q = qb; q < qe; ++q) {
        for (std::int64_t k = kb; k < ke; ++k) {
          if (!InRange(types.back(), q - qb, k - kb, (ke - kb) - (qe - qb))) continue;
          expected[static_cast<std::size_t>(q / 64 * kCols + k / 4)] = 1;
        }
      }
    }
    Parts parts{Ints("q_ranges", {3, 2}, queries),
                Ints("k_ranges", {3, 2}, keys),
                Ints("attn_type_map", {3}, types)};
    Bits all;
    for (int h = 0; h < kHeads; ++h) all.insert(all.end(), expected.begin(), expected.end());
    EXPECT_EQ(Read(parts), all) << round;
  }
  EXPECT_EQ(Read({Ints("q_ranges", {1, 2}, {0, kTokens}), Ints("k_ranges", {1, 2}, {0, kTokens})}),
            Bits(kHeads * kRows * kCols, 1));  // without types all are full
}

TEST_F(MaskRegionsTest, RangesThatLieAreRefused) {
  const auto refuse = [&](const Numbers& range, std::int64_t type, const std::string& word) {
    Refuse(ErrorCode::kCorruptInput,
           {Ints("q_ranges", {1, 2}, range),
            Ints("k_ranges", {1, 2}, {0, 8}),
            Ints("attn_type_map", {1}, {type})},
           {"m.npz", word});
  };
  refuse({4, 2}, 0, "range 0 is [4, 2)");
  refuse({-1, 2}, 0, "[-1, 2)");
  refuse({0, 278}, 0, "0 to 277 tokens");
  refuse({0, 8}, 4, "type 4 of range 0");
  refuse({0, 8}, -1, "type -1");
  const ZipPart q = Ints("q_ranges", {1, 2}, {0, 8});
  Refuse(ErrorCode::kInvalidArgument, {q}, {"lacks 'k_ranges'"});
  Refuse(ErrorCode::kMismatch, {q, Ints("k_ranges", {2, 2}, {0, 8, 0, 8})}, {"[1, 2]"});
  Refuse(ErrorCode::kMismatch, {q, Ints("k_ranges", {1, 3}, {0, 8, 0})}, {"[n, 2]"});
  Refuse(ErrorCode::kMismatch,
         {q, Ints("k_ranges", {1, 2}, {0, 8}), Ints("attn_type_map", {2}, {0, 0})},
         {"[1], one type per range"});
}

// --- blocks of variable size, pairs of tokens ---

TEST_F(MaskRegionsTest, VariableBlocksCoverTheBlocksOfTheirTokens) {
  std::mt19937_64 random(10);
  for (int round = 0; round < 10; ++round) {
    constexpr int kClusters[2] = {4, 6};
    Numbers sizes[2];
    for (int side = 0; side < 2; ++side) {
      for (int h = 0; h < kHeads; ++h) {
        Numbers cuts{0, kTokens};
        while (cuts.size() < kClusters[side] + 1U) {
          cuts.push_back(static_cast<std::int64_t>(random() % (kTokens + 1)));
        }
        std::ranges::sort(cuts);
        for (std::size_t c = 1; c < cuts.size(); ++c) sizes[side].push_back(cuts[c] - cuts[c - 1]);
      }
    }
    Numbers map;
    Bits expected(kHeads * kRows * kCols);
    for (int h = 0; h < kHeads; ++h) {
      std::int64_t top = 0;
      for (int r = 0; r < kClusters[0]; ++r) {
        const std::int64_t tall = sizes[0][static_cast<std::size_t>(h * kClusters[0] + r)];
        std::int64_t left = 0;
        for (int c = 0; c < kClusters[1]; ++c) {
          const std::int64_t wide = sizes[1][static_cast<std::size_t>(h * kClusters[1] + c)];
          map.push_back(static_cast<std::int64_t>(random() % 2));
          for (std::int64_t q = top; q < top + tall && map.back() == 1; ++q) {
            for (std::int64_t k = left; k < left + wide; ++k) {
              expected[static_cast<std::size_t>((h * kRows + q / 64) * kCols + k / 4)] = 1;
            }
          }
          left += wide;
        }
        top += tall;
      }
    }
    const Parts parts{Ints("block_mask_map", {kHeads, 4, 6}, map, "|b1"),
                      Ints("block_row_sz", {kHeads, 4}, sizes[0]),
                      Ints("block_col_sz", {kHeads, 6}, sizes[1])};
    EXPECT_EQ(Read(parts), expected);
    EXPECT_EQ(Read({{"dynamic_map.npy", parts[0].bytes},
                    {"qc_sz_s.npy", parts[1].bytes},
                    {"kc_sz_s.npy", parts[2].bytes}}),
              expected);
    sizes[0][1] += 1;
    Refuse(ErrorCode::kCorruptInput,
           {parts[0], Ints("block_row_sz", {kHeads, 4}, sizes[0]), parts[2]},
           {"block_row_sz", "277"});
    sizes[1][1] = -1;
    Refuse(ErrorCode::kCorruptInput,
           {parts[0], parts[1], Ints("block_col_sz", {kHeads, 6}, sizes[1])},
           {"block_col_sz", "block 1 has -1 tokens"});
    Refuse(ErrorCode::kMismatch,
           {parts[0], Ints("block_row_sz", {kHeads, 6}, Numbers(18, 1)), parts[2]},
           {"block_row_sz", "[3, 4]"});
    map[2] = 7;
    Refuse(ErrorCode::kCorruptInput,
           {Ints("block_mask_map", {kHeads, 4, 6}, map, "|u1"), parts[1], parts[2]},
           {"block_mask_map", "[0, 2] is 7"});
  }
}

TEST_F(MaskRegionsTest, PairsOfTokensAreCountedInBlocks) {
  std::mt19937_64 random(11);
  const MaskArraySizes sizes{1, 1, 1, 2, 3, 4, 20, {8, 5}};
  for (const std::int64_t side : {std::int64_t{20}, std::int64_t{24}}) {
    const std::int64_t wide = 20;  // 4 whole blocks of 5
    Numbers pairs;
    Bits expected(2 * 3 * 4);
    for (std::int64_t h = 0; h < 2; ++h) {
      for (std::int64_t q = 0; q < side; ++q) {
        for (std::int64_t k = 0; k < wide; ++k) {
          pairs.push_back(random() % 23 == 0 ? 1 : 0);
          if (pairs.back() == 0) continue;
          expected[static_cast<std::size_t>((h * 3 + q / 8) * 4 + k / 5)] = 1;
        }
      }
    }
    const MaskArrayFile file = Open({Ints("m", {1, 2, side, wide}, pairs, "|b1")}, {}, sizes);
    Bits bits;
    for (const BlockMaskPtr& mask : file.Read({}).head) {
      for (int i = 0; i < 12; ++i) bits.push_back(mask->Get(i / 4, i % 4) ? 1 : 0);
    }
    EXPECT_EQ(bits, expected);
    EXPECT_THAT(file.Describe(), Contains(HasSubstr("pairs of tokens")));
    pairs[3] = 9;
    ExpectError(ErrorCode::kCorruptInput, {"[0, 0, 0, 3] is 9"}, [&] {
      Open({Ints("m", {1, 2, side, wide}, pairs, "|u1")}, {}, sizes).CheckAll();
    });
  }
  ExpectError(ErrorCode::kMismatch, {"3 x 4 blocks"}, [&] {
    static_cast<void>(Open({Ints("m", {2, 21, 20}, Numbers(840, 1), "|u1")}, {}, sizes));
  });
}

// --- bits ---

TEST_F(MaskRegionsTest, PackedMasksAreReadInBothOrders) {
  const Bits bits = Draw(12);
  constexpr int kWide = (kCols + 7) / 8;
  for (const BitOrder order : {BitOrder::kLittle, BitOrder::kBig}) {
    Numbers bytes;
    for (int row = 0; row < kHeads * kRows; ++row) {
      for (int b = 0; b < kWide; ++b) {
        std::int64_t byte = 0;
        for (int bit = 0; bit < 8 && 8 * b + bit < kCols; ++bit) {
          const int shift = order == BitOrder::kBig ? 7 - bit : bit;
          if (At(bits, 0, row, 8 * b + bit)) byte |= std::int64_t{1} << shift;
        }
        bytes.push_back(byte);
      }
    }
    const Shape shape{1, kHeads, kRows, kWide};
    EXPECT_EQ(Read({Ints("m", shape, bytes, "|u1")}, Packed(order)), bits);
    EXPECT_EQ(Read({Ints("mask_bits", shape, bytes, "|u1")}, Packed(order)), bits);
    // A table of distinct masks: heads 2, 0, 0.
    const Parts indexed{Ints("mask_bits", {kHeads, kRows, kWide}, bytes, "|u1"),
                        Ints("mask_index", {kHeads}, {2, 0, 0})};
    Bits chosen(bits.end() - kRows * kCols, bits.end());
    for (int n = 0; n < 2; ++n) {
      chosen.insert(chosen.end(), bits.begin(), bits.begin() + kRows * kCols);
    }
    EXPECT_EQ(Read(indexed, Packed(order)), chosen);
    if (order == BitOrder::kLittle) {
      EXPECT_EQ(Read(indexed), chosen);
    }
    for (const std::int64_t number : {-1, 3}) {
      Refuse(ErrorCode::kCorruptInput,
             {indexed[0], Ints("mask_index", {kHeads}, {0, number, 0})},
             {"mask_index", "[1] is " + std::to_string(number), "0 to 2"},
             Packed(order));
    }
    bytes[kWide - 1] |= order == BitOrder::kBig ? 1 : 128;
    Refuse(ErrorCode::kCorruptInput,
           {Ints("m", shape, bytes, "|u1")},
           {"'m'", "[0, 0, 0]", "behind its 70 blocks", "packed="},
           Packed(order));
    Refuse(ErrorCode::kCorruptInput,
           {Ints("m", shape, bytes, "<i4")},
           {"type i4, expected u1"},
           Packed(order));
    Refuse(ErrorCode::kMismatch, {Ints("m", shape, bytes, "|u1")}, {"5 x 70 blocks"});
    Refuse(ErrorCode::kMismatch,
           {Ints("mask_bits", {kHeads, kWide, kRows}, bytes, "|u1"), indexed[1]},
           {"[n, 5, 9]"});
  }
  Refuse(ErrorCode::kInvalidArgument,
         {Ints("mask_bits", {1, kRows, kWide}, Numbers(kRows * kWide, 0), "|u1"),
          Ints("cells", {1, 5}, {0, 0, 0, 0, 0})},
         {"recording of one rank", "dbsp-workload merge"});
}

TEST_F(MaskRegionsTest, AMaskWithoutHeadsHoldsForAll) {
  Numbers one(kRows * kCols, 0);
  for (std::size_t i = 0; i < one.size(); i += 3) one[i] = 1;
  Bits all;
  for (int h = 0; h < kHeads; ++h) all.insert(all.end(), one.begin(), one.end());
  for (const Shape& leading : {Shape{}, Shape{1}, Shape{1, 1}, Shape{1, 1, 1}}) {
    Shape shape = leading;
    shape.insert(shape.end(), {kRows, kCols});
    EXPECT_EQ(Read({Ints("m", shape, one, "|u1")}), all) << leading.size();
  }
}

}  // namespace
}  // namespace dbsp::testing
