// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/placed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/arrays/array.h"
#include "core/error.h"
#include "planner/placement/drift.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"
#include "planner/timeline/schedule.h"
#include "planner/timeline/schedule_check.h"
#include "planner/workload/row_loads.h"
#include "tests/planner/awkward_layers.h"
#include "tests/shared_data.h"

namespace dbsp::planner {
namespace {

std::int64_t Heaviest(const std::vector<std::int64_t>& load) {
  return *std::ranges::max_element(load);
}

double Mean(const RowLoads& loads, int ranks) {
  return static_cast<double>(
             std::accumulate(loads.blocks.begin(), loads.blocks.end(), std::int64_t{0})) /
         ranks;
}

double Rho(const RowLoads& loads, const Partition& partition) {
  const double mean = Mean(loads, partition.ranks);
  return mean > 0 ? static_cast<double>(Heaviest(RankLoads(loads, partition))) / mean : 1.0;
}

/// Checks all guarantees that the header gives for a placement.
void ExpectSound(const RandomLayer& layer, int ranks) {
  const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
  const Partition made = MakePlaced(layer.shape, layer.masks, home);
  ASSERT_EQ(ValidatePartition(made, false).message(), "");
  const RowLoads loads = RowLoadsOf(layer.masks);
  const std::vector<std::int64_t> load = RankLoads(loads, made);
  ASSERT_EQ(std::accumulate(load.begin(), load.end(), std::int64_t{0}),
            std::accumulate(loads.blocks.begin(), loads.blocks.end(), std::int64_t{0}));
  const double row = loads.blocks.empty() ? 0 : *std::ranges::max_element(loads.blocks);
  const double limit = std::max(Mean(loads, ranks) + row, Mean(loads, ranks) * 1.005);
  ASSERT_LE(static_cast<double>(Heaviest(load)), limit + 1e-9);
  const Partition ulysses =
      MakePartition(Family::kUlysses, layer.shape, layer.masks, ranks, ranks, 1, home);
  ASSERT_LE(Heaviest(load), Heaviest(RankLoads(loads, ulysses)));
  ASSERT_EQ(BarrierLoadOf(layer.masks, made).barrier, static_cast<double>(Heaviest(load)));
  PartitionOptions options;
  options.placed_scans = PlacedOptions().traffic_scans;
  ASSERT_EQ(
      made,
      MakePartition(Family::kPlaced, layer.shape, layer.masks, ranks, ranks, 1, home, options));
}

TEST(PlacedTest, RandomLayersOnAnyRanksArePlacedOnceAndWithinOneRowOfTheMean) {
  std::mt19937_64 random(51);
  for (int trial = 0; trial < 3000; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    ASSERT_NO_FATAL_FAILURE(ExpectSound(MakeRandomLayer(random), Draw(random, 1, 20)));
  }
}

TEST(PlacedTest, RanksAreEvenInTheSumOfRowsAndBlocks) {
  std::mt19937_64 random(57);
  for (int trial = 0; trial < 1000; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 1, 12);
    PlacedOptions options;
    options.traffic_scans = 200;
    options.row_price = 0.25 * Draw(random, 1, 20);
    const Partition made =
        MakePlaced(layer.shape, layer.masks, MakeHomeLayout(layer.shape, ranks), options);
    ASSERT_EQ(ValidatePartition(made, false).message(), "");
    const RowLoads blocks = RowLoadsOf(layer.masks);
    const RowLoads loads = RowLoadsOf(layer.masks, options.row_price);
    for (std::size_t i = 0; i < loads.blocks.size(); ++i) {
      const double active = blocks.blocks[i] > 0 ? options.row_price : 0;
      ASSERT_NEAR(loads.blocks[i], kLoadUnit * (blocks.blocks[i] + active), 0.5 + 1e-9);
    }
    const double row = loads.blocks.empty() ? 0 : *std::ranges::max_element(loads.blocks);
    const double limit = std::max(Mean(loads, ranks) + row, Mean(loads, ranks) * 1.005);
    ASSERT_LE(static_cast<double>(Heaviest(RankLoads(loads, made))), limit + 1e-9);
  }
}

TEST(PlacedTest, AwkwardLayersOnAnyRanksArePlacedOnceAndWithinOneRowOfTheMean) {
  for (const AwkwardLayer& layer : AwkwardLayers()) {
    for (const int ranks : {1, 2, 3, 8, 31, 200}) {
      SCOPED_TRACE(::testing::Message() << layer.name << " on " << ranks);
      ASSERT_NO_FATAL_FAILURE(ExpectSound(layer, ranks));
    }
  }
}

TEST(PlacedTest, BlocksGoExactlyToRanksWithARowThatNeedsThem) {
  std::mt19937_64 random(55);
  Strategy strategy;
  strategy.family = Family::kPlaced;
  strategy.exchange = ExchangeOf(Family::kPlaced, 1);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = strategy.ulysses_degree = Draw(random, 1, 12);
    const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
    const Partition made = MakePlaced(layer.shape, layer.masks, home);
    ASSERT_EQ(CheckSchedule(layer.shape,
                            layer.masks,
                            home,
                            BuildSchedule(layer.shape, layer.masks, made, strategy, home))
                  .message(),
              "");
  }
}

/// Lightest heaviest rank over all assignments of (head, row) pairs to ranks.
std::int64_t MaxLoadLowerBound(const RowLoads& loads, int ranks) {
  std::vector<std::size_t> owner(loads.blocks.size(), 0);
  std::int64_t best = INT64_MAX;
  while (true) {
    std::vector<std::int64_t> load(ranks, 0);
    for (std::size_t i = 0; i < owner.size(); ++i) load[owner[i]] += loads.blocks[i];
    best = std::min(best, Heaviest(load));
    std::size_t i = 0;
    while (i < owner.size() && ++owner[i] == static_cast<std::size_t>(ranks)) owner[i++] = 0;
    if (i == owner.size()) return best;
  }
}

TEST(PlacedTest, FewRowsAreWithinOneRowOfExhaustiveSearch) {
  std::mt19937_64 random(52);
  int equal = 0;
  constexpr int kTrials = 300;
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    RowLoads loads{Draw(random, 1, 3), Draw(random, 1, 3), {}};
    for (int i = 0; i < loads.heads * loads.rows; ++i) loads.blocks.push_back(Draw(random, 0, 9));
    const int ranks = Draw(random, 1, 3);
    const std::vector<int> home(loads.rows, 0);
    const Partition made = PlaceHeads(loads, {}, home, home, ranks);
    const std::int64_t got = Heaviest(RankLoads(loads, made));
    const std::int64_t least = MaxLoadLowerBound(loads, ranks);
    ASSERT_GE(got, least);
    ASSERT_LT(got, least + std::max(1, *std::ranges::max_element(loads.blocks)));
    equal += got == least ? 1 : 0;
  }
  EXPECT_GE(equal, kTrials * 2 / 3);
}

TEST(PlacedTest, BalancedHeadsStayWhole) {
  AttentionShape shape{16, 8, 64, {4, 4}};
  LayerMasks masks;
  for (int h = 0; h < 16; ++h) {
    auto mask = std::make_shared<BlockMask>(16, 16);
    for (int i = 0; i < 16; ++i) mask->SetRange(i, 0, 1 + h);
    masks.head.push_back(mask);
  }
  const Partition made = MakePlaced(shape, masks, MakeHomeLayout(shape, 8));
  ASSERT_EQ(made.groups.size(), 8U);
  for (const HeadGroup& group : made.groups) EXPECT_EQ(group.heads.size(), 2U);
}

TEST(PlacedTest, ASplitMovesTheRowsThatNeedFewColumns) {
  // One head exceeds a rank by the load of one rank. Its upper rows share two columns; each of its
  // lower rows needs two other columns. The upper rows are therefore cheaper to move.
  BlockMask mask(16, 16);
  for (int i = 0; i < 8; ++i) mask.SetRange(i, 0, 2);
  for (int i = 8; i < 16; ++i) mask.SetRange(i, 2 * (i - 8), 2 * (i - 8) + 2);
  LayerMasks masks{{std::make_shared<BlockMask>(mask)}};
  const std::vector<int> home(16, 0);
  const Partition made = PlaceHeads(RowLoadsOf(masks), masks, home, home, 2);
  ASSERT_EQ(made.groups.size(), 1U);
  for (std::size_t i = 1; i < 8; ++i) {
    EXPECT_EQ(made.groups[0].row_owner[i], made.groups[0].row_owner[0]);
    EXPECT_NE(made.groups[0].row_owner[i + 8], made.groups[0].row_owner[0]);
  }
  EXPECT_EQ(made.groups[0].ranks[made.groups[0].row_owner[0]], 1);
}

TEST(PlacedTest, RankCountsThatDivideNeitherHeadsNorRowsAreWithinOnePercent) {
  std::mt19937_64 random(53);
  for (const auto& [heads, ranks] :
       std::vector<std::pair<int, int>>{{56, 16}, {24, 5}, {12, 8}, {40, 7}}) {
    for (int trial = 0; trial < 20; ++trial) {
      SCOPED_TRACE(::testing::Message() << heads << " heads on " << ranks << ", trial " << trial);
      std::vector<std::int64_t> counts(heads);
      for (auto& count : counts) count = Draw(random, 3000, 40000);
      const RowLoads loads = SpreadLoads(counts, 256);
      std::vector<int> home;
      for (int r = 0; r < 256; ++r) home.push_back(r * ranks / 256);
      EXPECT_LE(Rho(loads, PlaceHeads(loads, {}, home, home, ranks)), 1.01);
    }
  }
}

TEST(PlacedTest, MeasuredHeadCountsAreBalancedOnTheirStepAndFromEarlierSteps) {
  const auto path = dbsp::testing::SharedData("wan14b_sparge_density/head_density_30x40x40.npy");
  if (path.empty()) GTEST_SKIP() << dbsp::testing::kNoSharedData;
  const Array counts = LoadArray(path);
  const auto at = [&](std::int64_t pair) {
    std::vector<std::int64_t> out;
    for (std::int64_t h = 0; h < 40; ++h) out.push_back(counts.Int(pair * 40 + h));
    return out;
  };
  std::vector<int> rows;
  std::vector<int> cols;
  for (int i = 0; i < 256; ++i) rows.push_back(i / 32);
  for (int j = 0; j < 512; ++j) cols.push_back(j / 64);
  double mean = 0;
  double worst = 0;
  double later = 0;
  for (std::int64_t pair = 0; pair < 1200; ++pair) {
    const RowLoads loads = SpreadLoads(at(pair), 256);
    const double rho = Rho(loads, PlaceHeads(loads, {}, rows, cols, 8));
    mean += rho / 1200;
    worst = std::max(worst, rho);
    if (pair < 40) continue;
    const std::vector<std::int64_t> before =
        pair < 80 ? std::vector<std::int64_t>() : at(pair - 80);
    const RowLoads seen = SpreadLoads(PredictCounts(at(pair - 40), before), 256);
    later += Rho(loads, PlaceHeads(seen, {}, rows, cols, 8)) / 1160;
  }
  EXPECT_LE(mean, 1.002);
  EXPECT_LE(worst, 1.005);
  EXPECT_LE(later, 1.020);
}

TEST(PlacedTest, WrongSizesAreRefusedWithAMessage) {
  const RowLoads loads{2, 3, {1, 2, 3, 4, 5, 6}};
  const std::vector<int> home(3, 0);
  const std::vector<int> short_home(2, 0);
  EXPECT_THROW((void)PlaceHeads(loads, {}, home, home, 0), Error);
  EXPECT_THROW((void)PlaceHeads(loads, {}, short_home, home, 2), Error);
  const LayerMasks masks{{std::make_shared<BlockMask>(3, 3)}};
  EXPECT_THROW((void)PlaceHeads(loads, masks, home, home, 2), Error);
}

TEST(RowLoadsTest, LoadsAreTheMasksCountsAndSpreadLoadsAddUp) {
  std::mt19937_64 random(54);
  for (int trial = 0; trial < 200; ++trial) {
    const RandomLayer layer = MakeRandomLayer(random);
    const RowLoads loads = RowLoadsOf(layer.masks);
    const std::vector<std::int64_t> totals = loads.HeadTotals();
    for (int h = 0; h < loads.heads; ++h) {
      const auto head = static_cast<std::size_t>(h);
      ASSERT_EQ(totals[head], layer.masks.head[head]->Count());
      for (int r = 0; r < loads.rows; ++r) {
        ASSERT_EQ(
            loads.blocks[head * static_cast<std::size_t>(loads.rows) + static_cast<std::size_t>(r)],
            layer.masks.head[head]->RowCount(r));
      }
    }
    const RowLoads spread = SpreadLoads(totals, loads.rows);
    ASSERT_EQ(spread.HeadTotals(), totals);
  }
}

TEST(DriftTest, HalfOfTheLastChangeIsAddedAndCountsStayAtLeastOne) {
  const std::vector<std::int64_t> now{10, 2, 0, 7, 4};
  const std::vector<std::int64_t> before{6, 20, 0, 7, 0};
  EXPECT_EQ(PredictCounts(now, before), (std::vector<std::int64_t>{12, 1, 0, 7, 6}));
  EXPECT_EQ(PredictCounts(now, {}), now);
  EXPECT_THROW((void)PredictCounts(now, std::span(before).first(3)), Error);
}

}  // namespace
}  // namespace dbsp::planner
