// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/head_needs.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

TEST(HeadNeedsTest, ARunOfRanksNeedsTheUnionOfTheColumnsOfItsRows) {
  std::mt19937_64 random(88);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const int ranks = Draw(random, 1, 3);  // with at most three ranks every rank is a start
    const int rows = Draw(random, 1, 40);
    const int cols = Draw(random, 1, 150);
    std::vector<int> row_home;
    std::vector<int> col_home;
    for (int r = 0; r < rows; ++r) row_home.push_back(Draw(random, 0, ranks - 1));
    for (int j = 0; j < cols; ++j) col_home.push_back(Draw(random, 0, ranks - 1));
    auto mask = std::make_shared<BlockMask>(rows, cols);
    const int sparse = Draw(random, 1, 30);
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < cols; ++j) mask->Set(r, j, Draw(random, 0, sparse) == 0);
    }
    const std::vector<double> needs = NeedsOf({{mask}}, row_home, col_home, ranks);
    ASSERT_EQ(needs.size(), static_cast<std::size_t>(ranks) + 1);
    EXPECT_EQ(needs[0], 0);
    for (int n = 1; n <= ranks; ++n) {
      std::int64_t fetched = 0;
      for (int start = 0; start < ranks; ++start) {
        for (int j = 0; j < cols; ++j) {
          bool needed = false;
          for (int r = 0; r < rows; ++r) {
            const int after = (row_home[r] - start + ranks) % ranks;
            needed = needed || (after < n && mask->Get(r, j));
          }
          fetched += needed && col_home[j] != start ? 1 : 0;
        }
      }
      ASSERT_NEAR(needs[n], static_cast<double>(fetched) / (cols * ranks), 1e-12);
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
