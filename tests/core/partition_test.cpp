// SPDX-License-Identifier: Apache-2.0
#include "core/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using ::testing::HasSubstr;

TEST(CeilSplitTest, PartsAreContiguousAndOnlyTheLastAreShort) {
  for (std::int64_t items = 0; items < 40; ++items) {
    for (int parts = 1; parts < 12; ++parts) {
      const auto begin = CeilSplit(items, parts);
      ASSERT_EQ(begin.size(), static_cast<std::size_t>(parts) + 1);
      EXPECT_EQ(begin.front(), 0);
      EXPECT_EQ(begin.back(), items);
      std::int64_t left = items;
      for (std::size_t p = 0; p < static_cast<std::size_t>(parts); ++p) {
        const std::int64_t each = std::min(left, (items + parts - 1) / parts);
        EXPECT_EQ(begin[p + 1] - begin[p], each) << items << " over " << parts;
        left -= each;
      }
    }
  }
  EXPECT_EQ(CeilSplit(5, 4), (std::vector<std::int64_t>{0, 2, 4, 5, 5}));
  testing::ExpectError(ErrorCode::kInvalidArgument, {"3 items", "0 parts"}, [] {
    static_cast<void>(CeilSplit(3, 0));
  });
  testing::ExpectError(
      ErrorCode::kInvalidArgument, {"-1 items"}, [] { static_cast<void>(CeilSplit(-1, 2)); });
}

TEST(HomeLayoutTest, EveryBlockHasOneHomeAndEveryTokenItsRank) {
  for (const BlockSize block : {BlockSize{4, 4}, {6, 4}, {4, 6}, {1, 3}}) {
    for (const std::int64_t tokens : {1, 11, 12, 13, 100}) {
      for (const int ranks : {1, 2, 3, 8}) {
        const AttentionShape shape{2, 8, tokens, block};
        const HomeLayout home = MakeHomeLayout(shape, ranks);
        ASSERT_EQ(home.ranks(), ranks);
        EXPECT_EQ(home.begin.front(), 0);
        EXPECT_EQ(home.begin.back(), tokens);
        for (std::int64_t token = 0; token < tokens; ++token) {
          const auto rank = static_cast<std::size_t>(home.RankOf(token));
          ASSERT_LE(home.begin[rank], token);
          ASSERT_GT(home.begin[rank + 1], token);
          EXPECT_EQ(home.RankOf(token), home.RankOf(token / block.q * block.q));
          EXPECT_EQ(home.RankOf(token), home.RankOf(token / block.k * block.k));
        }
      }
    }
  }
}

/// 2 heads on 3 ranks, 2 x 2 blocks: head 0 split over ranks 2 and 0, head 1 whole on rank 1.
Partition Legal() { return {3, 2, 2, 2, {{{0}, {2, 0}, {0, 1}, {1, 0}}, {{1}, {1}, {}, {}}}}; }

TEST(ValidatePartitionTest, LegalPartitionsAreOk) {
  EXPECT_EQ(ValidatePartition(Legal(), true).message(), "");
  Partition rows = Legal();
  rows.groups[0].col_owner.clear();
  EXPECT_EQ(ValidatePartition(rows, false).message(), "");
}

TEST(ValidatePartitionTest, EveryFaultIsNamed) {
  const auto expect = [](void (*spoil)(Partition&), const char* words) {
    Partition partition = Legal();
    spoil(partition);
    EXPECT_THAT(ValidatePartition(partition, true).message(), HasSubstr(words));
  };
  expect([](Partition& p) { p.ranks = 0; }, "0 ranks");
  expect([](Partition& p) { p.groups[0].heads = {0, 1}; }, "head 1 is in 2 groups");
  expect([](Partition& p) { p.groups[0].heads = {}; }, "head 0 is in 0 groups");
  expect([](Partition& p) { p.groups[0].heads = {2}; }, "head 2 is out of range");
  expect([](Partition& p) { p.groups[0].heads = {-1}; }, "head -1 is out of range");
  expect([](Partition& p) { p.groups[0].ranks = {2, 2}; }, "rank 2 twice");
  expect([](Partition& p) { p.groups[0].ranks = {2, 3}; }, "rank 3 is out of range");
  expect([](Partition& p) { p.groups[1].ranks = {}; }, "group 1 has no rank");
  expect([](Partition& p) { p.groups[0].row_owner = {0}; }, "row_owner has 1 entries, expected 2");
  expect([](Partition& p) { p.groups[0].row_owner = {0, 2}; }, "row_owner[1] = 2");
  expect([](Partition& p) { p.groups[0].col_owner = {-1, 0}; }, "col_owner[0] = -1");
  expect([](Partition& p) { p.groups[0].col_owner = {}; }, "col_owner has 0 entries");
  expect([](Partition& p) { p.groups[1].row_owner = {0, 0}; }, "row_owner given for a single rank");
  expect([](Partition& p) { p.groups[1].col_owner = {0, 0}; }, "col_owner given");
  EXPECT_THAT(ValidatePartition(Legal(), false).message(), HasSubstr("col_owner given"));
}

}  // namespace
}  // namespace dbsp
