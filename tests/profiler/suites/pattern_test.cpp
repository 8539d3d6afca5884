// SPDX-License-Identifier: Apache-2.0
#include "profiler/suites/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>

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

TEST(PatternTest, RunsHaveTheirLengthAndAreApart) {
  const AttentionConfig config = WithDensity(Shape(2, 20, 1000, "runs8"), 0.6);
  const BlockLists lists = MakeLists(config);
  for (std::size_t row = 0; row + 1 < lists.begin.size(); ++row) {
    const std::span keys(lists.list.data() + lists.begin[row],
                         lists.list.data() + lists.begin[row + 1]);
    EXPECT_EQ(keys.size(), 600U);
    EXPECT_EQ(RunsOf(keys), 75) << "row " << row;
  }
  EXPECT_NE(lists.list, MakeLists(WithDensity(Shape(2, 20, 1000, "runs9"), 0.6)).list);
}

/// The statistics of a configuration are those of its lists. The number of runs of random columns
/// is the expected one: its deviation is below 5% with 20 rows of 100 and more columns.
TEST(PatternTest, StatisticsOfTheConfigurationAreThoseOfItsLists) {
  for (const char* pattern : {"dense", "uniform", "skewed", "band", "runs2", "runs8", "runs300"}) {
    for (const double density : {0.0, 0.1, 0.5, 0.95, 1.0}) {
      for (const int step : {64, 128}) {
        SCOPED_TRACE(pattern + std::to_string(density));
        AttentionConfig config = Shape(1, 20, 999, pattern);
        config.lists = ListStatistics{.step = step};
        config = WithDensity(config, density);
        const BlockLists lists = MakeLists(config);
        ListStatistics found{.step = step};
        for (std::size_t row = 0; row + 1 < lists.begin.size(); ++row) {
          AddList({lists.list.data() + lists.begin[row], lists.list.data() + lists.begin[row + 1]},
                  found);
        }
        EXPECT_EQ(config.lists->step, step);
        EXPECT_EQ(config.lists->padded_keys, found.padded_keys);
        EXPECT_EQ(config.lists->max_keys, found.max_keys);
        EXPECT_NEAR(static_cast<double>(config.lists->runs),
                    static_cast<double>(found.runs),
                    0.05 * static_cast<double>(found.runs) + 4);
      }
    }
  }
}

TEST(PatternTest, ImpossibleConfigurationsAreRefused) {
  auto config = WithDensity(Shape(1, 2, 2, "uniform"), 0.5);
  config.active_blocks = 5;
  EXPECT_THROW((void)MakeLists(config), Error);
  for (const char* pattern : {"unifrom", "runs", "runs1", "runs-8", "runs8x", "runs99999999999"}) {
    EXPECT_THROW((void)MakeLists(WithDensity(Shape(1, 2, 2, pattern), 0.5)), Error) << pattern;
  }
}

}  // namespace
}  // namespace dbsp::profiler
