// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/ring_axis_partition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "planner/workload/bit_counter.h"
#include "planner/workload/mask_sum.h"
#include "tests/planner/random_layer.h"

namespace dbsp::planner {
namespace {

TEST(BitCounterTest, ManyListsAreCountedLikeSingleBits) {
  std::mt19937_64 random(51);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const auto words = static_cast<std::size_t>(Draw(random, 0, 4));
    BitCounter counter(words);
    std::vector<std::int64_t> expected(words * 64, 3);
    for (int batch = Draw(random, 0, 3); batch >= 0; --batch) {
      std::vector<std::vector<std::uint64_t>> lists(Draw(random, 0, 40));
      std::vector<const std::uint64_t*> pointers;
      for (auto& list : lists) {
        for (std::size_t w = 0; w < words; ++w) list.push_back(random() | random());
        for (std::size_t j = 0; j < expected.size(); ++j) {
          expected[j] += static_cast<std::int64_t>((list[j / 64] >> (j % 64)) & 1U);
        }
        pointers.push_back(list.data());
      }
      counter.Add(pointers);
    }
    std::vector<std::uint64_t> shifted(words, random());
    counter.AddShifted(shifted.data(), 3);
    for (std::size_t j = 0; j < expected.size(); ++j) {
      expected[j] += 8 * static_cast<std::int64_t>((shifted[j / 64] >> (j % 64)) & 1U);
    }
    std::vector<std::int64_t> sums(2 * expected.size(), 3);
    counter.AddTo(expected.size(), 2, sums.data());
    for (std::size_t j = 0; j < expected.size(); ++j) {
      ASSERT_EQ(sums[2 * j], expected[j]) << j;
      ASSERT_EQ(sums[2 * j + 1], 3);
    }
  }
}

TEST(MaskSumTest, PartsAreTheSumsOverSingleMasks) {
  std::mt19937_64 random(52);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int rows = layer.masks.rows();
    const int cols = layer.masks.cols();
    const int parts = Draw(random, 1, 5);
    std::vector<int> row_owner;
    std::vector<int> col_owner;
    for (int i = 0; i < rows; ++i) row_owner.push_back(Draw(random, 0, parts - 1));
    for (int j = 0; j < cols; ++j) col_owner.push_back(Draw(random, 0, parts - 1));
    std::vector<std::int64_t> by_row(rows * parts, 0);
    std::vector<std::int64_t> by_col(cols * parts, 0);
    for (const BlockMaskPtr& mask : layer.masks.head) {
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) {
          if (!mask->Get(i, j)) continue;
          const int to_col = col_owner[j];
          const int to_row = row_owner[i];
          ++by_row[i * parts + to_col];
          ++by_col[j * parts + to_row];
        }
      }
    }
    const MaskSum sum(DistinctMasks(layer.masks));
    ASSERT_EQ(sum.RowParts(col_owner, parts), by_row);
    ASSERT_EQ(sum.ColumnParts(row_owner, parts), by_col);
  }
}

/// A random axis, and its cost computed directly.
struct RandomAxis {
  std::size_t ring;
  std::vector<std::int64_t> weight;
  std::vector<int> owner;
  std::vector<int> home;

  explicit RandomAxis(std::mt19937_64& random)
      : ring(static_cast<std::size_t>(Draw(random, 2, 6))) {
    const int items = Draw(random, 1, 60);
    for (int i = 0; i < items; ++i) {
      owner.push_back(Draw(random, 0, static_cast<int>(ring) - 1));
      home.push_back(Draw(random, 0, static_cast<int>(ring) - 1));
      for (std::size_t k = 0; k < ring; ++k) weight.push_back(Draw(random, 0, 20));
    }
  }
  [[nodiscard]] double Cost(const std::vector<int>& owners, double price) const {
    std::vector<std::int64_t> cell(ring * ring, 0);
    double away = 0;
    for (std::size_t i = 0; i < owners.size(); ++i) {
      away += owners[i] == home[i] ? 0 : 1;
      for (std::size_t k = 0; k < ring; ++k) {
        cell[static_cast<std::size_t>(owners[i]) * ring + k] += weight[i * ring + k];
      }
    }
    std::int64_t barrier = 0;
    for (std::size_t t = 0; t < ring; ++t) {
      std::int64_t most = 0;
      for (std::size_t i = 0; i < ring; ++i) most = std::max(most, cell[i * ring + (i + t) % ring]);
      barrier += most;
    }
    return static_cast<double>(barrier) + price * away;
  }
};

TEST(RingAxisPartitionTest, CostEqualsThatOfTheOwnersAndNeverExceedsTheStart) {
  std::mt19937_64 random(54);
  for (int trial = 0; trial < 400; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomAxis input(random);
    const double price = Draw(random, 0, 2) * 1.5;
    const int extra = Draw(random, 0, 3);
    RingAxisPartition side(
        input.weight, input.owner, input.home, static_cast<int>(input.ring), extra, price);
    const double start = input.Cost(input.owner, price);
    ASSERT_NEAR(side.cost(), start, 1e-6);
    Prng prng{static_cast<std::uint64_t>(trial)};
    const RingAxisPartition::Limits limits{4000, 0, 30};
    for (int turn = 0; turn < 3; ++turn) {
      const double before = side.cost();
      if (turn == 0) side.MinimizeSquares(limits, prng);
      if (turn == 1) side.MinimizeBarrier(limits, prng);
      if (turn == 2) side.RestoreHomes();
      ASSERT_TRUE(turn == 0 || side.cost() <= before + 1e-6);
      ASSERT_NEAR(side.cost(), input.Cost(side.owner(), price), 1e-6);
      ASSERT_NEAR(side.best(), input.Cost(side.BestOwner(), price), 1e-6);
      ASSERT_LE(side.best(), start + 1e-6);
      ASSERT_GE(input.Cost(side.owner(), 0), side.Bound() - 1e-6);
    }
  }
}

TEST(RingAxisPartitionTest, PartsKeepTheirLimitsOfItems) {
  std::mt19937_64 random(55);
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomAxis input(random);
    const int extra = Draw(random, 0, 3);
    const auto counts = [&](const std::vector<int>& owner) {
      std::vector<std::size_t> count(input.ring, 0);
      for (const int part : owner) ++count[part];
      return count;
    };
    RingAxisPartition side(
        input.weight, input.owner, input.home, static_cast<int>(input.ring), extra, 0);
    Prng prng{static_cast<std::uint64_t>(trial)};
    side.MinimizeSquares({4000, 0, 30}, prng);
    side.MinimizeBarrier({4000, 0, 30}, prng);
    const std::size_t even = (input.owner.size() + input.ring - 1) / input.ring;
    const std::vector<std::size_t> before = counts(input.owner);
    const std::vector<std::size_t> after = counts(side.owner());
    const std::size_t most =
        std::max(even + static_cast<std::size_t>(extra), *std::ranges::max_element(before));
    ASSERT_LE(*std::ranges::max_element(after), most);
  }
}

TEST(RingAxisPartitionTest, ASingleDenseColumnOfTheOtherAxisIsTheBound) {
  // Two parts. All weight lies in column part 0. One step costs the load of one part, the other
  // step the rest, so no division is below the sum of the column.
  const std::vector<std::int64_t> weight{5, 0, 5, 0, 5, 0, 5, 0};
  const std::vector<int> owner{0, 0, 0, 1};
  RingAxisPartition side(weight, owner, owner, 2, 1, 0);
  EXPECT_EQ(side.Bound(), 20);
  Prng prng{1};
  side.MinimizeSquares({1000, 0, 30}, prng);
  side.MinimizeBarrier({1000, 0, 30}, prng);
  EXPECT_EQ(side.best(), 20);
}

}  // namespace
}  // namespace dbsp::planner
