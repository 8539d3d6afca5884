// SPDX-License-Identifier: Apache-2.0
// Fine masks against loops over single tokens.
#include "core/fine_mask.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

namespace dbsp {
namespace {

BlockMask DrawFine(int tokens, int queries, double density, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::bernoulli_distribution listed(density);
  BlockMask fine((tokens + queries - 1) / queries, tokens);
  for (int i = 0; i < fine.rows(); ++i) {
    for (int j = 0; j < tokens; ++j) {
      if (listed(random)) fine.Set(i, j);
    }
  }
  return fine;
}

/// A block is active if any of its (query, key) pairs is listed.
BlockMask BruteBlocks(const BlockMask& fine, int queries, BlockSize block) {
  const int tokens = fine.cols();
  BlockMask blocks((tokens + block.q - 1) / block.q, (tokens + block.k - 1) / block.k);
  for (int q = 0; q < tokens; ++q) {
    for (int k = 0; k < tokens; ++k) {
      if (fine.Get(q / queries, k)) blocks.Set(q / block.q, k / block.k);
    }
  }
  return blocks;
}

TEST(FineMaskTest, BlockMaskIsActiveExactlyWhereAPairIsListed) {
  for (const int tokens : {1, 63, 64, 65, 128, 200, 513}) {
    for (const int queries : {64, 128}) {
      for (const double density : {0.0, 0.004, 0.3, 1.0}) {
        const BlockMask fine = DrawFine(tokens, queries, density, 7);
        for (const BlockSize block : {BlockSize{64, 64},
                                      BlockSize{128, 128},
                                      BlockSize{128, 64},
                                      BlockSize{64, 1},
                                      BlockSize{96, 40},
                                      BlockSize{16, 200},
                                      BlockSize{1000, 1000}}) {
          EXPECT_EQ(BlocksOfFine(fine, queries, block), BruteBlocks(fine, queries, block))
              << tokens << " tokens, M " << queries << ", density " << density << ", block "
              << block.q << "x" << block.k;
        }
      }
    }
  }
}

TEST(FineMaskTest, ListsNameTheSetBitsInOrder) {
  FineMasks masks;
  masks.queries = 64;
  const auto shared = std::make_shared<const BlockMask>(DrawFine(300, 64, 0.2, 1));
  const auto empty = std::make_shared<const BlockMask>(DrawFine(300, 64, 0, 1));
  masks.bits.head = {shared, empty, shared};
  for (int h = 0; h < 3; ++h) {
    FineLists expected;
    for (int i = 0; i < masks.bits.rows(); ++i) {
      for (int j = 0; j < 300; ++j) {
        if (masks.bits.head[h]->Get(i, j)) expected.keys.push_back(j);
      }
      expected.offsets.push_back(static_cast<std::int64_t>(expected.keys.size()));
    }
    EXPECT_EQ(masks.ListsOf(h), expected) << h;
  }
  const LayerMasks blocks = BlocksOfFine(masks, {64, 64});
  EXPECT_EQ(blocks.head[0], blocks.head[2]) << "heads that share a fine mask share the block mask";
  EXPECT_EQ(blocks.head[1]->Count(), 0);
}

TEST(FineMaskTest, CountsAreThoseOfTheBits) {
  const BlockMask fine = DrawFine(333, 64, 0.01, 3);
  FineCounts counts;
  counts.Add(fine, 64);
  EXPECT_EQ(counts.keys, fine.Count());
  EXPECT_EQ(counts.all_keys, 6 * 333);
  EXPECT_EQ(counts.blocks64, BruteBlocks(fine, 64, {64, 64}).Count());
  EXPECT_EQ(counts.all_blocks64, 36);
  EXPECT_EQ(counts.blocks128, BruteBlocks(fine, 64, {128, 128}).Count());
  EXPECT_EQ(counts.all_blocks128, 9);
  std::int64_t longest = 0;
  for (int i = 0; i < fine.rows(); ++i) longest = std::max<std::int64_t>(longest, fine.RowCount(i));
  EXPECT_EQ(counts.longest, longest);
  FineCounts twice = counts;
  twice.Add(counts);
  EXPECT_EQ(twice.keys, 2 * counts.keys);
  EXPECT_EQ(twice.key_share(), counts.key_share());
  EXPECT_EQ(FineCounts{}.key_share(), 0);
}

}  // namespace
}  // namespace dbsp
