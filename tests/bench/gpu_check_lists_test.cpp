// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "bench/gpu_check/lists.h"
#include "core/error.h"
#include "kernels/key_lists.h"
#include "tests/core/expect_error.h"

namespace dbsp::gpu_check {
namespace {

TEST(GpuCheckListsTest, FullListsHaveEveryEntry) {
  const Blocks blocks{300, 500, 128, 64};
  const Lists lists = Full(blocks, 3);
  EXPECT_EQ(lists.tiles(), 9);
  EXPECT_EQ(lists.list.size(), 9U * 8U);
  EXPECT_EQ(ActivePairs(lists, blocks), 3 * 300 * 500) << "partial blocks count their real tokens";
}

TEST(GpuCheckListsTest, RandomListsAscendAndHaveTheirDensity) {
  for (const double density : {0.02, 0.3, 0.9, 1.0}) {
    for (const int run : {1, 8, 64}) {
      const Blocks blocks{2000, 5000, 128, 1};
      const Lists lists = Random(blocks, 4, density, run, 5);
      for (std::int64_t tile = 0; tile < lists.tiles(); ++tile) {
        const auto keys = lists.Tile(tile);
        ASSERT_TRUE(std::is_sorted(keys.begin(), keys.end(), std::less_equal<>()))
            << "the keys must ascend strictly";
        if (keys.empty()) continue;
        ASSERT_GE(keys.front(), 0);
        ASSERT_LT(keys.back(), 5000);
      }
      const double kept = static_cast<double>(lists.list.size()) / (64.0 * 5000.0);
      EXPECT_NEAR(kept, density, 0.15 * density + 0.005) << "runs of " << run;
    }
  }
}

TEST(GpuCheckListsTest, ListsThatDoNotAscendStrictlyAreRefused) {
  Lists lists;
  lists.q_blocks = 3;
  lists.begin = {0, 3, 3, 5};
  lists.list = {0, 4, 9, 2, 7};
  EXPECT_NO_THROW(RequireAscending(lists, false));
  EXPECT_NO_THROW(RequireAscending(lists, true));
  const auto refused = [&](std::vector<std::int32_t> list, const char* words) {
    lists.list = std::move(list);
    for (const bool keys : {false, true}) {
      dbsp::testing::ExpectError(
          ErrorCode::kInternal, {words, "tile"}, [&] { RequireAscending(lists, keys); });
    }
  };
  refused({0, 4, 4, 2, 7}, "entry 2 of tile 0 is 4 after 4");
  refused({0, 4, 3, 2, 7}, "entry 2 of tile 0 is 3 after 4");
  refused({0, 4, 9, 7, 2}, "entry 1 of tile 2 is 2 after 7");
  refused({-1, 4, 9, 2, 7}, "entry 0 of tile 0 is -1");
}

TEST(GpuCheckListsTest, KeysMayBeginWithTheirRuns) {
  const auto run = [](std::int32_t first) {
    std::vector<std::int32_t> keys(kernels::kRunKeys);
    std::iota(keys.begin(), keys.end(), first);
    return keys;
  };
  Lists lists;
  lists.q_blocks = 1;
  const auto set = [&](std::vector<std::vector<std::int32_t>> parts) {
    lists.list.clear();
    for (const auto& part : parts) lists.list.insert(lists.list.end(), part.begin(), part.end());
    lists.begin = {0, static_cast<std::int32_t>(lists.list.size())};
  };
  set({run(100), run(300), {1, 99, 200}});
  EXPECT_NO_THROW(RequireAscending(lists, true));
  EXPECT_THROW(RequireAscending(lists, false), Error) << "key blocks have no such order";
  for (const auto& rest : {std::vector<std::int32_t>{1, 1}, {2, 1}, {120}, {1, 300}}) {
    set({run(100), run(300), rest});
    EXPECT_THROW(RequireAscending(lists, true), Error) << rest.front();
  }
  set({run(300), run(100), {1}});
  EXPECT_THROW(RequireAscending(lists, true), Error) << "the runs descend";
}

TEST(GpuCheckListsTest, RunsAreAlignedAndWhole) {
  const Blocks blocks{128, 1000, 128, 1};
  const Lists lists = Random(blocks, 1, 0.4, 8, 9);
  const auto keys = lists.Tile(0);
  for (std::size_t i = 0; i < keys.size();) {
    ASSERT_EQ(keys[i] % 8, 0);
    for (std::int32_t key = keys[i]; key < std::min(keys[i] + 8, 1000) && i < keys.size(); ++i) {
      if (keys[i] != key) break;
      ++key;
    }
  }
  EXPECT_EQ(Random(blocks, 1, 0.4, 8, 9).list, lists.list);
  EXPECT_NE(Random(blocks, 1, 0.4, 8, 10).list, lists.list);
}

TEST(GpuCheckListsTest, NothingIsListedAtDensityZero) {
  const Blocks blocks{300, 300, 128, 128};
  const Lists lists = Random(blocks, 2, 0.0, 1, 1);
  EXPECT_EQ(lists.tiles(), 6);
  EXPECT_TRUE(lists.list.empty());
  EXPECT_EQ(ActivePairs(lists, blocks), 0);
}

TEST(GpuCheckListsTest, EveryHeadGetsTheListsOfTheMask) {
  BlockMask mask(3, 5);
  mask.Set(0, 4);
  mask.Set(2, 0);
  mask.Set(2, 3);
  const Blocks blocks{350, 600, 128, 128};
  const Lists lists = FromMask(mask, blocks, 2);
  EXPECT_EQ(lists.begin, (std::vector<std::int32_t>{0, 1, 1, 3, 4, 4, 6}));
  EXPECT_EQ(lists.list, (std::vector<std::int32_t>{4, 0, 3, 4, 0, 3}));
  // Query block 2 has 94 queries, key block 4 has 88 keys.
  EXPECT_EQ(ActivePairs(lists, blocks), 2 * (128 * 88 + 94 * 256));
  const Array dense = DenseMask(lists, 5);
  EXPECT_EQ(dense.type, ArrayType::kU1);
  ASSERT_EQ(dense.shape, (std::vector<std::int64_t>{2, 3, 5}));
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 5; ++j) EXPECT_EQ(dense.Bool(i * 5 + j), mask.Get(i, j));
  }
  dbsp::testing::ExpectError(ErrorCode::kMismatch, {"3 x 5 blocks", "the head has 3 x 4"}, [&] {
    (void)FromMask(mask, {350, 512, 128, 128}, 1);
  });
}

TEST(GpuCheckListsTest, BlocksOfKeysContainAtLeastOneListedKey) {
  Lists keys;
  keys.q_blocks = 2;
  keys.list = {0, 1, 127, 128, 500, 700};
  keys.begin = {0, 4, 6};
  const Lists blocks = BlocksOfKeys(keys, 128);
  EXPECT_EQ(blocks.list, (std::vector<std::int32_t>{0, 1, 3, 5}));
  EXPECT_EQ(blocks.begin, (std::vector<std::int32_t>{0, 2, 4}));
}

}  // namespace
}  // namespace dbsp::gpu_check
