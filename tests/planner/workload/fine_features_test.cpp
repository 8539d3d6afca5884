// SPDX-License-Identifier: Apache-2.0
// Properties of lists of single keys against loops over single queries and keys.
#include "planner/workload/fine_features.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace dbsp::planner {
namespace {

struct Case {
  int tokens;
  int queries;
  double density;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases{{1, 64, 1},
                                       {63, 64, 0.5},
                                       {64, 128, 0},
                                       {65, 64, 1},
                                       {130, 64, 0.02},
                                       {200, 128, 0.3},
                                       {513, 64, 0.1},
                                       {513, 128, 0.9}};
  return cases;
}

BlockMask Draw(const Case& c) {
  std::mt19937_64 random(11);
  std::bernoulli_distribution listed(c.density);
  BlockMask fine((c.tokens + c.queries - 1) / c.queries, c.tokens);
  for (int i = 0; i < fine.rows(); ++i) {
    for (int j = 0; j < c.tokens; ++j) {
      if (listed(random)) fine.Set(i, j);
    }
  }
  return fine;
}

TEST(FineFeaturesTest, AgreeWithLoopsOverKeys) {
  for (const Case& c : Cases()) {
    for (const BlockSize block : {BlockSize{64, 64}, BlockSize{128, 128}, BlockSize{64, 40}}) {
      SCOPED_TRACE(
          fmt::format("{} tokens, M {}, block {}x{}", c.tokens, c.queries, block.q, block.k));
      const BlockMask fine = Draw(c);
      const FineFeatures found = FeaturesOfLists(fine, c.queries, 48, block);
      std::int64_t packed = 0;
      std::int64_t padded = 0;
      std::int64_t longest = 0;
      std::int64_t runs = 0;
      std::vector<std::int64_t> counts;
      for (int i = 0; i < fine.rows(); ++i) {
        std::int64_t keys = 0;
        for (int j = 0; j < c.tokens; ++j) {
          keys += fine.Get(i, j) ? 1 : 0;
          runs += fine.Get(i, j) && (j == 0 || !fine.Get(i, j - 1)) ? 1 : 0;
        }
        packed += keys;
        while (padded % 48 != 0) ++padded;
        padded += keys;
        while (padded % 48 != 0) ++padded;
        longest = std::max(longest, keys);
        counts.push_back(keys);
      }
      EXPECT_EQ(found.lists, fine.rows());
      EXPECT_EQ(found.packed_keys, packed);
      EXPECT_EQ(found.padded_keys, padded);
      EXPECT_EQ(found.longest, longest);
      EXPECT_EQ(found.runs, runs);
      const double mean = static_cast<double>(packed) / fine.rows();
      double variance = 0;
      for (const std::int64_t keys : counts) {
        variance += (static_cast<double>(keys) - mean) * (static_cast<double>(keys) - mean);
      }
      EXPECT_NEAR(found.mean, mean, 1e-9);
      EXPECT_NEAR(found.variance, variance / fine.rows(), 1e-6 * (1 + variance));
      std::set<std::pair<int, int>> blocks;
      for (int q = 0; q < c.tokens; ++q) {
        for (int k = 0; k < c.tokens; ++k) {
          if (fine.Get(q / c.queries, k)) blocks.insert({q / block.q, k / block.k});
        }
      }
      EXPECT_EQ(found.active_blocks, static_cast<std::int64_t>(blocks.size()));
      double block_keys = 0;
      for (const auto& [i, j] : blocks) {
        const int keys = std::min(block.k, c.tokens - j * block.k);
        block_keys += static_cast<double>(keys) * block.q / c.queries;
      }
      EXPECT_NEAR(found.block_keys, block_keys, 1e-9 * (1 + block_keys));
      if (c.tokens % c.queries == 0 && c.queries % block.q == 0) {
        EXPECT_LE(found.packed_share(), 1 + 1e-12) << "blocks keep every listed key";
      }
    }
  }
}

TEST(FineFeaturesTest, RanksNeedTheKeysOfTheirLists) {
  std::mt19937_64 random(5);
  for (const Case& c : Cases()) {
    const BlockMask fine = Draw(c);
    for (const int ranks : {1, 3, 8}) {
      for (const int block_q : {16, 64, 96, 128}) {
        for (const int group : {1, 8, 64}) {
          std::vector<int> owner((c.tokens + block_q - 1) / block_q);
          for (int& rank : owner) rank = static_cast<int>(random() % static_cast<unsigned>(ranks));
          const BlockMask groups = NeededKeyGroups(fine, c.queries, block_q, owner, ranks, group);
          BlockMask expected(ranks, (c.tokens + group - 1) / group);
          for (int q = 0; q < c.tokens; ++q) {
            for (int k = 0; k < c.tokens; ++k) {
              if (fine.Get(q / c.queries, k)) expected.Set(owner[q / block_q], k / group);
            }
          }
          ASSERT_EQ(groups, expected) << c.tokens << " " << block_q << " " << group;
          for (int r = 0; r < ranks; ++r) {
            std::int64_t keys = 0;
            for (int k = 0; k < c.tokens; ++k) keys += expected.Get(r, k / group) ? 1 : 0;
            ASSERT_EQ(KeysInGroups(groups, r, c.tokens, group), keys);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
