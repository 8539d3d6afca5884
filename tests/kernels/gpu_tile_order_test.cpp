// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
#include <random>

#include "core/error.h"
#include "kernels/gpu/tile_order.h"

namespace dbsp::kernels::gpu {
namespace {

std::vector<std::int32_t> BoundsOf(const std::vector<std::int32_t>& counts) {
  std::vector<std::int32_t> begin(counts.size() + 1, 0);
  std::partial_sum(counts.begin(), counts.end(), begin.begin() + 1);
  return begin;
}

/// Makespan of `workers` workers that each take the next tile of `order` when they are free.
double Makespan(const std::vector<std::int32_t>& order,
                const std::vector<std::int32_t>& counts,
                int workers,
                double fixed) {
  std::priority_queue<double, std::vector<double>, std::greater<>> free;
  for (int i = 0; i < workers; ++i) free.push(0.0);
  double end = 0.0;
  for (const std::int32_t tile : order) {
    const double done = free.top() + fixed + counts[tile];
    free.pop();
    free.push(done);
    end = std::max(end, done);
  }
  return end;
}

TEST(TileOrderTest, WeightClassIsTheLogarithm) {
  for (std::int64_t weight = 1; weight < 5000; ++weight) {
    const int number = WeightClass(weight);
    EXPECT_LE(std::pow(1.5, number), static_cast<double>(weight)) << weight;
    EXPECT_GT(std::pow(1.5, number + 1), static_cast<double>(weight)) << weight;
  }
  EXPECT_EQ(WeightClass(std::int64_t{1} << 31), 52);
}

TEST(TileOrderTest, HeaviestClassFirstThenTileAndEmptyTilesLeftOut) {
  // Classes of 1.5: 10 -> 5, 9 -> 5, 1 -> 0, 2 -> 1, 8 -> 5.
  EXPECT_EQ(TileOrder(BoundsOf({1, 9, 0, 10, 2, 8}), 3, 1),
            (std::vector<std::int32_t>{1, 3, 5, 4, 0}));
}

TEST(TileOrderTest, GroupsNeverCrossAHead) {
  // Heads of 3 query blocks, pairs: (0 1) (2) (3 4) (5); weights 1, 0, 20, 4.
  EXPECT_EQ(TileOrder(BoundsOf({0, 1, 0, 15, 5, 4}), 3, 2), (std::vector<std::int32_t>{3, 5, 0}));
}

TEST(TileOrderTest, EveryNonEmptyTileComesOnce) {
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 50; ++trial) {
    const int q_blocks = 1 + static_cast<int>(random() % 9);
    std::vector<std::int32_t> counts(q_blocks * (1 + random() % 6));
    for (std::int32_t& count : counts) count = static_cast<std::int32_t>(random() % 5);
    std::vector<std::int32_t> order = TileOrder(BoundsOf(counts), q_blocks, 1);
    std::sort(order.begin(), order.end());
    std::vector<std::int32_t> expected;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > 0) expected.push_back(static_cast<std::int32_t>(i));
    }
    EXPECT_EQ(order, expected) << "trial " << trial;
  }
}

TEST(TileOrderTest, RefusesBoundsThatDoNotFit) {
  EXPECT_THROW(TileOrder({}, 1, 1), Error);
  const std::vector<std::int32_t> descends{0, 3, 2};
  EXPECT_THROW(TileOrder(descends, 1, 1), Error);
  const std::vector<std::int32_t> three{0, 1, 2, 3};
  EXPECT_THROW(TileOrder(three, 2, 1), Error);
}

/// The makespan of the order is close to that of exact longest-first and far below first-come.
TEST(TileOrderTest, SimulatedMakespanIsNearTheIdeal) {
  constexpr int kWorkers = 132;
  constexpr double kFixed = 1.0;  // what a tile costs beside its list, in list entries
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> draw(3.0, 1.0);
  for (const int q_blocks : {80, 240, 590}) {
    std::vector<std::int32_t> counts(static_cast<std::size_t>(q_blocks) * 12);
    for (std::int32_t& count : counts) {
      count = std::min(q_blocks, 1 + static_cast<int>(draw(random)));
    }
    std::vector<std::int32_t> fifo(counts.size());
    std::iota(fifo.begin(), fifo.end(), 0);
    std::vector<std::int32_t> longest = fifo;
    std::stable_sort(
        longest.begin(), longest.end(), [&](auto a, auto b) { return counts[a] > counts[b]; });
    const std::vector<std::int32_t> order = TileOrder(BoundsOf(counts), q_blocks, 1);
    const double work = std::accumulate(counts.begin(), counts.end(), 0.0) +
                        kFixed * static_cast<double>(fifo.size());
    const double heaviest = *std::max_element(counts.begin(), counts.end()) + kFixed;
    const double ideal = std::max(work / kWorkers, heaviest);
    const double ours = Makespan(order, counts, kWorkers, kFixed) / ideal;
    const double exact = Makespan(longest, counts, kWorkers, kFixed) / ideal;
    EXPECT_LE(ours, 1.05) << q_blocks;
    EXPECT_LE(ours, exact + 0.03) << q_blocks;
    EXPECT_LT(ours, Makespan(fifo, counts, kWorkers, kFixed) / ideal) << q_blocks;
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu
