// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/families.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "planner/placement/head_balance.h"
#include "planner/timeline/barrier.h"
#include "planner/workload/mask_counts.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

constexpr Family kFamilies[] = {
    Family::kUlysses, Family::kRing, Family::kUsp, Family::kDbsp, Family::kBalanced};

/// rho by its definition, block by block.
BarrierLoad ObviousBarrier(const LayerMasks& masks, const Partition& partition) {
  BarrierLoad load;
  double total = 0;
  for (const HeadGroup& group : partition.groups) {
    const int ring = static_cast<int>(group.ranks.size());
    std::vector<std::vector<int>> cells(ring, std::vector<int>(ring, 0));
    for (const int h : group.heads) {
      const BlockMask& mask = *masks.head[h];
      for (int i = 0; i < mask.rows(); ++i) {
        for (int j = 0; j < mask.cols(); ++j) {
          if (!mask.Get(i, j)) continue;
          const int row = ring == 1 ? 0 : group.row_owner[i];
          const int col = ring == 1 ? 0 : group.col_owner[j];
          ++cells[row][col];
          total += 1;
        }
      }
    }
    double time = 0;
    for (int t = 0; t < ring; ++t) {
      int slowest = 0;
      for (int i = 0; i < ring; ++i) {
        slowest = std::max(slowest, cells[i][(i + t) % ring]);
      }
      time += slowest;
    }
    load.barrier = std::max(load.barrier, time);
  }
  load.mean = total / partition.ranks;
  return load;
}

TEST(FamiliesTest, EveryPartitionIsLegalAndItsRhoFollowsTheDefinition) {
  std::mt19937_64 random(1);
  for (int trial = 0; trial < 400; ++trial) {
    SCOPED_TRACE(testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 1, 12);
    const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
    for (const Family family : kFamilies) {
      for (const auto& [u, r] : DegreesOf(family, ranks, layer.shape.heads)) {
        const PartitionOptions options{static_cast<double>(Draw(random, 0, 3)), 0.01, 200};
        const Partition partition =
            MakePartition(family, layer.shape, layer.masks, ranks, u, r, home, options);
        ASSERT_EQ(ValidatePartition(partition, r > 1).message(), "")
            << NameOf(family) << u << "x" << r;
        const BarrierLoad want = ObviousBarrier(layer.masks, partition);
        const BarrierLoad got = BarrierLoadOf(layer.masks, partition);
        ASSERT_EQ(got.barrier, want.barrier);
        ASSERT_EQ(got.mean, want.mean);
        ASSERT_GE(BarrierRho(layer.masks, partition), 1.0 - 1e-12);
      }
    }
  }
}

TEST(FamiliesTest, UlyssesAndRingKeepHeadsAndBlocksContiguous) {
  AttentionShape shape{5, 8, 37, {4, 4}};
  LayerMasks masks;
  masks.head.assign(5, std::make_shared<BlockMask>(BlockMask::Full(10, 10)));
  const HomeLayout home = MakeHomeLayout(shape, 3);
  const Partition ulysses = MakePartition(Family::kUlysses, shape, masks, 3, 3, 1, home);
  ASSERT_EQ(ulysses.groups.size(), 3U);
  EXPECT_EQ(ulysses.groups[0].heads, (std::vector<int>{0, 1}));
  EXPECT_EQ(ulysses.groups[1].heads, (std::vector<int>{2, 3}));
  EXPECT_EQ(ulysses.groups[2].heads, (std::vector<int>{4}));
  const Partition ring = MakePartition(Family::kRing, shape, masks, 3, 1, 3, home);
  ASSERT_EQ(ring.groups.size(), 1U);
  EXPECT_EQ(ring.groups[0].row_owner, (std::vector<int>{0, 0, 0, 0, 1, 1, 1, 1, 2, 2}));
  EXPECT_EQ(ring.groups[0].col_owner, ring.groups[0].row_owner);
}

TEST(FamiliesTest, GroupsHaveOneRankPerRingIndex) {
  AttentionShape shape{4, 8, 64, {4, 4}};
  LayerMasks masks;
  masks.head.assign(4, std::make_shared<BlockMask>(BlockMask::Full(16, 16)));
  const Partition usp =
      MakePartition(Family::kUsp, shape, masks, 6, 2, 3, MakeHomeLayout(shape, 6));
  EXPECT_EQ(usp.groups[0].ranks, (std::vector<int>{0, 2, 4}));
  EXPECT_EQ(usp.groups[1].ranks, (std::vector<int>{1, 3, 5}));
}

TEST(FamiliesTest, DegreesAscendInRingDegreeAndRespectHeads) {
  using Pairs = std::vector<std::pair<int, int>>;
  EXPECT_EQ(DegreesOf(Family::kUsp, 6, 40), (Pairs{{6, 1}, {3, 2}, {2, 3}, {1, 6}}));
  EXPECT_EQ(DegreesOf(Family::kDbsp, 6, 2), (Pairs{{2, 3}, {1, 6}}));
  EXPECT_EQ(DegreesOf(Family::kUlysses, 7, 2), (Pairs{{7, 1}}));
  EXPECT_EQ(DegreesOf(Family::kRing, 7, 2), (Pairs{{1, 7}}));
  EXPECT_EQ(DegreesOf(Family::kPlaced, 7, 2), (Pairs{{7, 1}}));
}

TEST(FamiliesTest, WrongRequestsAreRefusedWithAMessage) {
  AttentionShape shape{2, 8, 16, {4, 4}};
  LayerMasks masks;
  masks.head.assign(2, std::make_shared<BlockMask>(BlockMask::Full(4, 4)));
  const HomeLayout home = MakeHomeLayout(shape, 4);
  EXPECT_THROW((void)MakePartition(Family::kUsp, shape, masks, 4, 3, 1, home), Error);
  EXPECT_THROW((void)MakePartition(Family::kRing, shape, masks, 4, 2, 2, home), Error);
  EXPECT_THROW((void)MakePartition(Family::kDbsp, shape, masks, 4, 4, 1, home), Error);
  EXPECT_THROW((void)MakePartition(Family::kPlaced, shape, masks, 4, 2, 2, home), Error);
  EXPECT_THROW((void)MakePartition(Family::kUsp, shape, masks, 2, 2, 1, home), Error);
  masks.head[1] = std::make_shared<BlockMask>(3, 4);
  EXPECT_THROW((void)MakePartition(Family::kDbsp, shape, masks, 4, 2, 2, home), Error);
}

TEST(MaskCountsTest, MarginalsAreTheCountsOfSetBits) {
  std::mt19937_64 random(2);
  for (int trial = 0; trial < 200; ++trial) {
    const RandomLayer layer = MakeRandomLayer(random);
    std::vector<std::int64_t> heads(layer.masks.heads(), 0);
    std::vector<std::int64_t> rows(layer.masks.rows(), 0);
    std::vector<std::int64_t> cols(layer.masks.cols(), 0);
    for (std::size_t h = 0; h < heads.size(); ++h) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < cols.size(); ++j) {
          const int bit =
              layer.masks.head[h]->Get(static_cast<int>(i), static_cast<int>(j)) ? 1 : 0;
          heads[h] += bit;
          rows[i] += bit;
          cols[j] += bit;
        }
      }
    }
    const LayerCounts counts(layer.masks);
    ASSERT_EQ(HeadCounts(layer.masks), heads);
    ASSERT_EQ(HeadCounts(layer.masks, &counts), heads);
    ASSERT_EQ(counts.RowSums(layer.masks), rows);
    ASSERT_EQ(counts.ColumnSums(layer.masks), cols);
  }
}

TEST(HeadBalanceTest, GreedyFollowsThePapersRule) {
  const std::vector<std::int64_t> weights{5, 9, 9, 1, 4, 2};
  // 9 -> 0, 9 -> 1, 5 -> 0, 4 -> 1, 2 -> 1 (13 < 14), 1 -> 0, which has the last free slot.
  EXPECT_EQ(GreedyOwners(weights, 2), (std::vector<int>{0, 0, 1, 0, 1, 1}));
  // A reward of 2 keeps the second 9 at home (9 - 18 < 0), but not the 5 (18 - 10 > 0).
  const std::vector<int> home{0, 0, 0, 1, 1, 1};
  EXPECT_EQ(GreedyOwners(weights, 2, 2.0, home), (std::vector<int>{1, 0, 0, 0, 1, 1}));
}

TEST(HeadBalanceTest, CountsAreLimitedAndNoPartIsEmptyIfItemsSuffice) {
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<std::int64_t> weights(Draw(random, 0, 30));
    for (auto& weight : weights) weight = Draw(random, 0, 4);
    const int parts = Draw(random, 1, 9);
    std::vector<std::size_t> count(parts, 0);
    for (const int g : GreedyOwners(weights, parts)) ++count[g];
    const std::size_t cap = (weights.size() + count.size() - 1) / count.size();
    for (const std::size_t held : count) {
      ASSERT_LE(held, cap);
      ASSERT_GE(held, weights.size() >= count.size() ? 1U : 0U);
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
