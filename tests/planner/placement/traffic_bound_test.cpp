// SPDX-License-Identifier: Apache-2.0
// Compares the bound on the busiest rank's traffic with every possible placement.
#include "planner/placement/traffic_bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>

#include "planner/placement/placed.h"
#include "planner/placement/placed_traffic.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/rules/synthetic.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

BlockMaskPtr RandomMask(std::mt19937_64& random, int rows, int cols) {
  auto mask = std::make_shared<BlockMask>(rows, cols);
  const int sparse = Draw(random, 0, 4);
  const bool band = Draw(random, 0, 1) == 0;
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < cols; ++j) {
      const bool near = std::abs(i * cols - j * rows) <= rows + cols;
      mask->Set(i, j, Draw(random, 0, sparse) == 0 || (band && near));
    }
  }
  return mask;
}

TEST(LeastColumnsTest, AnyRowsNeedAtLeastTheBound) {
  std::mt19937_64 random(91);
  std::int64_t exact = 0;
  std::int64_t bounds = 0;
  for (int trial = 0; trial < 200; ++trial) {
    const int rows = Draw(random, 1, 10);
    const int cols = Draw(random, 1, 70);
    const BlockMaskPtr mask = RandomMask(random, rows, cols);
    std::vector<std::int64_t> least(static_cast<std::size_t>(rows) + 1, cols);
    for (unsigned set = 0; set < (1U << rows); ++set) {
      std::int64_t needed = 0;
      for (int j = 0; j < cols; ++j) {
        bool any = false;
        for (int i = 0; i < rows; ++i) any = any || ((set >> i) % 2 != 0 && mask->Get(i, j));
        needed += any ? 1 : 0;
      }
      auto& now = least[std::popcount(set)];
      now = std::min(now, needed);
    }
    const std::vector<std::int64_t> bound = LeastColumns(*mask);
    ASSERT_EQ(bound.size(), least.size());
    ASSERT_EQ(bound.back(), least.back());
    ASSERT_EQ(bound[1], least[1]);
    for (std::size_t n = 0; n < least.size(); ++n) {
      ASSERT_LE(bound[n], least[n]) << n << " of " << rows << " rows";
      exact += bound[n];
      bounds += least[n];
    }
  }
  EXPECT_GT(exact, bounds * 3 / 4);  // and it is not far below
}

TEST(TrafficBoundTest, NoPlacementWithinTheLimitIsBelowTheBound) {
  std::mt19937_64 random(92);
  double reached = 0;
  double bounds = 0;
  int layers = 0;
  for (int trial = 0; trial < 400; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const int ranks = Draw(random, 1, 3);
    const int heads = Draw(random, 1, 3);
    const int rows = Draw(random, 1, 9 / (heads + (ranks > 2 ? 1 : 0)));
    const int cols = Draw(random, 1, 5);
    LayerMasks masks;
    for (int h = 0; h < heads; ++h) masks.head.push_back(RandomMask(random, rows, cols));
    std::vector<int> row_home;
    std::vector<int> col_home;
    for (int r = 0; r < rows; ++r) row_home.push_back(r * ranks / rows);
    for (int j = 0; j < cols; ++j) col_home.push_back(j * ranks / cols);
    const RowLoads loads = RowLoadsOf(masks);
    const auto kept = std::accumulate(loads.blocks.begin(), loads.blocks.end(), 0);
    const double limit = kept / static_cast<double>(ranks) * (1 + 0.1 * Draw(random, 0, 5));
    std::vector<int> owner(loads.blocks.size(), 0);
    std::int64_t least = INT64_MAX;
    while (true) {
      std::vector<std::int64_t> load(ranks, 0);
      for (std::size_t i = 0; i < owner.size(); ++i) {
        load[owner[i]] += loads.blocks[i];
      }
      if (static_cast<double>(*std::ranges::max_element(load)) <= limit + 1e-9) {
        least = std::min(least, TrafficOf(owner, masks, row_home, col_home, ranks).Busiest());
      }
      std::size_t i = 0;
      while (i < owner.size() && ++owner[i] == ranks) owner[i++] = 0;
      if (i == owner.size()) break;
    }
    if (least == INT64_MAX) continue;
    const double bound = MaxTrafficLowerBound(masks, row_home, col_home, ranks, limit + 1e-9);
    ASSERT_LE(bound, static_cast<double>(least) + 1e-6)
        << heads << " heads of " << rows << " x " << cols << " on " << ranks << " ranks, limit "
        << limit;
    ++layers;
    reached += static_cast<double>(least);
    bounds += bound;
  }
  EXPECT_GT(layers, 200);
  EXPECT_GT(bounds, reached / 3);
}

TEST(TrafficBoundTest, AHeadThatMustBeSplitRaisesTheBound) {
  // Two dense heads per rank. Whole heads move as much as with ulysses. If one head exceeds every
  // rank, some rank has a part of it and needs all of its K and V.
  std::vector<int> home;
  for (int i = 0; i < 256; ++i) home.push_back(i / 64);
  LayerMasks masks;
  Prng prng{5};
  for (int h = 0; h < 8; ++h) {
    masks.head.push_back(std::make_shared<const BlockMask>(
        SyntheticMask(256, 256, 256 * 128, Pattern::kRandom, prng)));
  }
  const double ulysses = 4 * 0.75 * 2 * 256 * 256;
  const double even = MaxTrafficLowerBound(masks, home, home, 4, 256 * 128 * 2);
  EXPECT_GT(even, 0.99 * ulysses);
  EXPECT_LE(even, ulysses + 1e-6);
  const double split = MaxTrafficLowerBound(masks, home, home, 4, 256 * 128 * 0.9);
  EXPECT_GT(split, 1.05 * ulysses);
}

}  // namespace
}  // namespace dbsp::planner
