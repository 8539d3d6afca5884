// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"

namespace dbsp::profiler {
namespace {

AttentionConfig Shape(int heads, int rows, int cols, const std::string& pattern) {
  AttentionConfig config;
  config.kernel = "cpu.block_sparse";
  config.heads = heads;
  config.q_blocks = rows;
  config.k_blocks = cols;
  config.pattern = pattern;
  config.seed = 5;
  return config;
}

TEST(PatternTest, ListsHaveExactlyTheBlocksAndRowsOfTheConfiguration) {
  for (const std::string& pattern : PatternNames()) {
    for (const auto& [heads, rows, cols] :
         {std::tuple{1, 1, 1}, {3, 7, 5}, {2, 16, 33}, {5, 1, 9}, {1, 9, 1}}) {
      for (const double density : {0.0, 0.05, 0.3, 0.9, 1.0}) {
        SCOPED_TRACE(pattern + " " + std::to_string(rows) + "x" + std::to_string(cols) + " " +
                     std::to_string(density));
        const auto config = WithDensity(Shape(heads, rows, cols, pattern), density);
        const BlockLists lists = MakeLists(config);
        ASSERT_EQ(lists.begin.size(), static_cast<std::size_t>(heads * rows) + 1);
        EXPECT_EQ(lists.begin.back(), config.active_blocks);
        EXPECT_EQ(static_cast<std::int64_t>(lists.list.size()), config.active_blocks);
        std::int64_t active = 0;
        for (std::size_t row = 0; row + 1 < lists.begin.size(); ++row) {
          const auto from = lists.list.begin() + lists.begin[row];
          const auto to = lists.list.begin() + lists.begin[row + 1];
          active += from != to ? 1 : 0;
          EXPECT_TRUE(std::adjacent_find(from, to, std::greater_equal<>()) == to);
          EXPECT_TRUE(std::all_of(from, to, [cols = cols](int k) { return k >= 0 && k < cols; }));
        }
        EXPECT_EQ(active, config.active_rows);
      }
    }
  }
}

TEST(PatternTest, TheSameConfigurationGivesTheSameLists) {
  const auto config = WithDensity(Shape(2, 12, 40, "uniform"), 0.2);
  EXPECT_EQ(MakeLists(config).list, MakeLists(config).list);
  auto other = config;
  other.seed = 6;
  EXPECT_NE(MakeLists(config).list, MakeLists(other).list);
}

TEST(PatternTest, SkewedRowsGrowAndUniformRowsAreEqual) {
  const BlockLists skewed = MakeLists(WithDensity(Shape(1, 20, 100, "skewed"), 0.3));
  EXPECT_EQ(skewed.begin[1], 0);
  EXPECT_GT(skewed.begin[20] - skewed.begin[19], 50);
  const BlockLists uniform = MakeLists(WithDensity(Shape(1, 20, 100, "uniform"), 0.3));
  for (std::size_t row = 0; row < 20; ++row) {
    EXPECT_EQ(uniform.begin[row + 1] - uniform.begin[row], 30);
  }
}

TEST(PatternTest, ImpossibleConfigurationsAreRefused) {
  auto config = WithDensity(Shape(1, 2, 2, "uniform"), 0.5);
  config.active_blocks = 5;
  EXPECT_THROW((void)MakeLists(config), Error);
  EXPECT_THROW((void)MakeLists(WithDensity(Shape(1, 2, 2, "unifrom"), 0.5)), Error);
}

}  // namespace
}  // namespace dbsp::profiler
