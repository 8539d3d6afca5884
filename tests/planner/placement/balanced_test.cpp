// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/balanced.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/arrays/array.h"
#include "planner/placement/cell_search.h"
#include "planner/placement/families.h"
#include "planner/placement/head_balance.h"
#include "planner/placement/head_search.h"
#include "planner/placement/placed.h"
#include "planner/timeline/barrier.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/mask_flag.h"
#include "planner/workload/mask_source.h"
#include "planner/workload/presets.h"
#include "planner/workload/row_loads.h"
#include "tests/planner/awkward_layers.h"
#include "tests/shared_data.h"

namespace dbsp::planner {
namespace {

std::int64_t ActiveBlocks(const LayerMasks& masks) {
  const std::vector<std::int64_t> heads = HeadCounts(masks);
  return std::accumulate(heads.begin(), heads.end(), std::int64_t{0});
}

/// A small number of scans. The tested properties hold after any number.
BalancedOptions Quick() { return {0.01, 240}; }

TEST(BalancedTest, RandomLayersOnAnyRanksAreLegalAndWithinTheLimits) {
  std::mt19937_64 random(41);
  for (int trial = 0; trial < 1500; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ulysses = Draw(random, 1, 5);
    const int ring = Draw(random, 1, 6);
    const HomeLayout home = MakeHomeLayout(layer.shape, ulysses * ring);
    const Partition made = MakeBalanced(layer.shape, layer.masks, ulysses, ring, home, Quick());
    ASSERT_EQ(ValidatePartition(made, ring > 1).message(), "");
    const auto even = static_cast<std::size_t>((layer.shape.heads + ulysses - 1) / ulysses);
    for (const HeadGroup& group : made.groups) ASSERT_LE(group.heads.size(), even + 1);
    ASSERT_EQ(made, MakeBalanced(layer.shape, layer.masks, ulysses, ring, home, Quick()));
  }
}

TEST(BalancedTest, AwkwardLayersArePlannedOnAnyRanks) {
  for (const AwkwardLayer& layer : AwkwardLayers()) {
    for (const auto& [ulysses, ring] :
         std::vector<std::pair<int, int>>{{1, 1}, {4, 2}, {1, 7}, {3, 5}, {30, 1}, {2, 31}}) {
      SCOPED_TRACE(::testing::Message() << layer.name << " " << ulysses << "x" << ring);
      const HomeLayout home = MakeHomeLayout(layer.shape, ulysses * ring);
      const Partition made = MakeBalanced(layer.shape, layer.masks, ulysses, ring, home, Quick());
      ASSERT_EQ(ValidatePartition(made, ring > 1).message(), "");
      ASSERT_GE(BarrierRho(layer.masks, made), 1.0 - 1e-12);
    }
  }
}

TEST(BalancedTest, OneGroupIsNeverWorseThanHomeStridedOrGreedyOwners) {
  std::mt19937_64 random(42);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 2, 8);
    const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
    const BalancedOptions free_moves{0.0, 240};
    const double got =
        BarrierRho(layer.masks, MakeBalanced(layer.shape, layer.masks, 1, ranks, home, free_moves));
    // The search does not try other starts if one ends within 2% of even, so another start may be
    // that much better.
    for (const Family rival : {Family::kRing, Family::kDbsp}) {
      const PartitionOptions options{0.0};
      const double rho = BarrierRho(
          layer.masks,
          MakePartition(rival, layer.shape, layer.masks, ranks, 1, ranks, home, options));
      ASSERT_LE(got, std::max(rho, 1.02) + 1e-12) << NameOf(rival);
    }
  }
}

/// Active blocks of the busiest cell of each ring step, counted directly.
std::int64_t ObviousBarrier(const BlockMask& mask, const RingOwners& owners, int ring) {
  std::vector<std::int64_t> cells(ring * ring, 0);
  for (int i = 0; i < mask.rows(); ++i) {
    for (int j = 0; j < mask.cols(); ++j) {
      const int r = owners.row[i];
      const int c = owners.col[j];
      cells[r * ring + c] += mask.Get(i, j) ? 1 : 0;
    }
  }
  std::int64_t barrier = 0;
  for (int t = 0; t < ring; ++t) {
    std::int64_t slowest = 0;
    for (int i = 0; i < ring; ++i) {
      slowest = std::max(slowest, cells[i * ring + (i + t) % ring]);
    }
    barrier += slowest;
  }
  return barrier;
}

/// Least barrier over all owners whose parts hold at most ceil(n / 2) + 1 rows, and columns.
std::int64_t LeastBarrier(const BlockMask& mask) {
  const auto legal = [](int bits, int items) {
    const int held = std::popcount(static_cast<unsigned>(bits));
    const int most = (items + 1) / 2 + 1;
    return held <= most && items - held <= most;
  };
  const auto owners_of = [](int bits, int items) {
    std::vector<int> owner;
    for (int i = 0; i < items; ++i) owner.push_back((bits >> i) & 1);
    return owner;
  };
  std::int64_t best = mask.Count() + 1;
  for (int r = 0; r < 1 << mask.rows(); ++r) {
    if (!legal(r, mask.rows())) continue;
    for (int c = 0; c < 1 << mask.cols(); ++c) {
      if (!legal(c, mask.cols())) continue;
      const RingOwners owners{owners_of(r, mask.rows()), owners_of(c, mask.cols())};
      best = std::min(best, ObviousBarrier(mask, owners, 2));
    }
  }
  return best;
}

TEST(CellSearchTest, SmallMasksReachTheOptimumOfExhaustiveSearch) {
  std::mt19937_64 random(43);
  int equal = 0;
  constexpr int kTrials = 60;
  for (int trial = 0; trial < kTrials; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    BlockMask mask(Draw(random, 2, 6), Draw(random, 2, 6));
    for (int i = 0; i < mask.rows(); ++i) {
      for (int j = 0; j < mask.cols(); ++j) mask.Set(i, j, Draw(random, 0, 2) == 0);
    }
    RingOwners start;
    for (int i = 0; i < mask.rows(); ++i) start.row.push_back(i % 2);
    for (int j = 0; j < mask.cols(); ++j) start.col.push_back(j % 2);
    const MaskSum masks(std::vector<DistinctMask>{{&mask, {0}}});
    CellSearchOptions options;
    options.extra_items = 1;
    options.good_enough = 1.0;
    const FoundOwners found = SearchCells(masks, start, start, 2, options);
    const std::int64_t got = RingBarrier(masks, found.owners, 2);
    ASSERT_EQ(got, ObviousBarrier(mask, found.owners, 2));
    ASSERT_DOUBLE_EQ(found.cost, static_cast<double>(got));
    const std::int64_t least = LeastBarrier(mask);
    ASSERT_GE(got, least);
    ASSERT_LE(got, least + 1);
    equal += got == least ? 1 : 0;
  }
  EXPECT_GE(equal, kTrials * 9 / 10);
}

TEST(CellSearchTest, AMovePriceKeepsBlocksAtHomeAndTheCostNeverRises) {
  std::mt19937_64 random(44);
  for (int trial = 0; trial < 40; ++trial) {
    BlockMask mask(24, 24);
    for (int i = 0; i < 24; ++i) mask.SetRange(i, 0, Draw(random, 0, 24));
    const MaskSum masks(std::vector<DistinctMask>{{&mask, {0}}});
    RingOwners home;
    for (int i = 0; i < 24; ++i) home.row.push_back(i / 6);
    home.col = home.row;
    const auto away = [&](const RingOwners& owners) {
      int count = 0;
      for (std::size_t i = 0; i < 24; ++i) {
        count += (owners.row[i] != home.row[i] ? 1 : 0) + (owners.col[i] != home.col[i] ? 1 : 0);
      }
      return count;
    };
    CellSearchOptions options;
    for (const double price : {0.0, 1.0, 1000.0}) {
      options.move_price = price;
      const FoundOwners found = SearchCells(masks, home, home, 4, options);
      const auto barrier = static_cast<double>(RingBarrier(masks, found.owners, 4));
      ASSERT_NEAR(found.cost, barrier + price * away(found.owners), 1e-6);
      ASSERT_LE(found.cost, static_cast<double>(RingBarrier(masks, home, 4)) + 1e-9);
      ASSERT_TRUE(price < 1000.0 || away(found.owners) == 0);
    }
  }
}

/// Lightest heaviest part over all divisions with at most `most` heads per part.
std::int64_t LightestOfAll(const std::vector<std::int64_t>& weights, int parts, int most) {
  std::vector<std::size_t> owner(weights.size(), 0);
  std::int64_t best = INT64_MAX;
  while (true) {
    std::vector<std::int64_t> load(parts, 0);
    std::vector<int> held(parts, 0);
    for (std::size_t h = 0; h < weights.size(); ++h) {
      load[owner[h]] += weights[h];
      ++held[owner[h]];
    }
    if (*std::ranges::max_element(held) <= most) {
      best = std::min(best, *std::ranges::max_element(load));
    }
    std::size_t h = 0;
    while (h < weights.size() && ++owner[h] == static_cast<std::size_t>(parts)) owner[h++] = 0;
    if (h == weights.size()) return best;
  }
}

TEST(HeadSearchTest, FewHeadsReachTheOptimumOfExhaustiveSearch) {
  std::mt19937_64 random(45);
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    std::vector<std::int64_t> weights(Draw(random, 1, 7));
    for (auto& weight : weights) weight = Draw(random, 0, 50);
    const int parts = Draw(random, 1, 3);
    HeadSearchOptions options;
    options.good_enough = 1.0;
    options.uneven_gain = 0.0;
    const std::vector<int> owner = SearchHeadOwners(weights, parts, options);
    std::vector<std::int64_t> load(parts, 0);
    for (std::size_t h = 0; h < weights.size(); ++h) {
      load[owner[h]] += weights[h];
    }
    const int even = (static_cast<int>(weights.size()) + parts - 1) / parts;
    ASSERT_EQ(*std::ranges::max_element(load), LightestOfAll(weights, parts, even + 1));
  }
}

TEST(HeadSearchTest, MeasuredHeadCountsAreWithinHalfAPercentOfEven) {
  const auto path = dbsp::testing::SharedData("wan14b_sparge_density/head_density_30x40x40.npy");
  if (path.empty()) GTEST_SKIP() << dbsp::testing::kNoSharedData;
  const Array counts = LoadArray(path);
  double mean = 0;
  double worst = 0;
  for (std::int64_t pair = 0; pair < 1200; ++pair) {
    std::vector<std::int64_t> weights(40);
    for (std::size_t h = 0; h < 40; ++h) {
      weights[h] = counts.Int(pair * 40 + static_cast<std::int64_t>(h));
    }
    const double rho = MaxOverMean(weights, SearchHeadOwners(weights, 8), 8);
    mean += rho / 1200;
    worst = std::max(worst, rho);
  }
  EXPECT_LE(mean, 1.0045);
  EXPECT_LE(worst, 1.070);
}

TEST(BalancedTest, RadialMasksAreWithinHalfAPercentOfEven) {
  for (const char* preset : {"wan2.1-t2v-14b-480p",
                             "wan2.1-t2v-14b-720p",
                             "wan2.1-t2v-14b-768p-69f",
                             "hunyuanvideo-768p-117f"}) {
    Workload workload;
    workload.model = ModelPreset(preset);
    ApplyMaskFlag("radial", workload);
    const BlockMaskPtr mask = OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0];
    const AttentionShape shape{8, 128, workload.model.tokens(), {128, 128}};
    LayerMasks masks;
    masks.head.assign(8, mask);
    for (const int ring : {2, 4, 8}) {
      SCOPED_TRACE(::testing::Message() << preset << " ring " << ring);
      const Partition made = MakeBalanced(shape, masks, 8 / ring, ring, MakeHomeLayout(shape, 8));
      EXPECT_LE(BarrierRho(masks, made), 1.005);
    }
  }
}

TEST(CellSearchTest, NoDivisionIsBelowMaxLoadLowerBound) {
  std::mt19937_64 random(47);
  int equal = 0;
  for (int trial = 0; trial < 300; ++trial) {
    const int parts = Draw(random, 1, 4);
    std::vector<std::int64_t> weights(Draw(random, 1, 7));
    const int range = Draw(random, 0, 1) == 0 ? 1 : 9;
    for (auto& weight : weights) weight = Draw(random, 8, 8 + range);
    const std::int64_t lightest = LightestOfAll(weights, parts, static_cast<int>(weights.size()));
    ASSERT_LE(MaxLoadLowerBound(weights, parts), lightest);
    equal += MaxLoadLowerBound(weights, parts) == lightest ? 1 : 0;
  }
  EXPECT_GT(equal, 100);
}

TEST(BalancedTest, SlidingTilesReachTheLowerBoundOfWholeRows) {
  // Every row has 3 x 3 x 5 of 180 tiles. 540 equal rows on 8 ranks have a ratio of at least 68 /
  // 67.5.
  Workload workload;
  workload.model = ModelPreset("wan2.1-t2v-14b-768p-69f");
  ApplyMaskFlag("sta:window=3x3x5", workload);
  const AttentionShape shape{8, 128, workload.model.tokens(), workload.block};
  LayerMasks masks;
  masks.head.assign(8, OpenMasks(workload)->At(workload.model.steps - 1, 1).head[0]);
  const int rows = shape.q_blocks();
  const double bound = static_cast<double>((rows + 7) / 8) / (rows / 8.0);
  const double rho = BarrierRho(masks, MakeBalanced(shape, masks, 1, 8, MakeHomeLayout(shape, 8)));
  EXPECT_EQ(
      MaxLoadLowerBound(LayerCounts(masks).RowSums(masks), 8) * 8,
      static_cast<std::int64_t>(std::llround(bound * static_cast<double>(ActiveBlocks(masks)))));
  EXPECT_GE(rho, bound - 1e-9);
  EXPECT_LE(rho, bound * 1.001);
}

TEST(BalancedTest, HeadsAreEvenInTheSumOfRowsAndBlocks) {
  std::mt19937_64 random(48);
  for (int trial = 0; trial < 300; ++trial) {
    const RandomLayer layer = MakeRandomLayer(random);
    const int groups = Draw(random, 1, 5);
    const HomeLayout home = MakeHomeLayout(layer.shape, groups);
    BalancedOptions options;
    options.row_price = 0.5 * Draw(random, 1, 8);
    const std::vector<std::int64_t> weights =
        RowLoadsOf(layer.masks, options.row_price).HeadTotals();
    const auto heaviest = [&](const BalancedOptions& with) {
      const Partition made = MakeBalanced(layer.shape, layer.masks, groups, 1, home, with);
      std::vector<int> owner(weights.size());
      for (std::size_t g = 0; g < made.groups.size(); ++g) {
        for (const int head : made.groups[g].heads) {
          owner[head] = static_cast<int>(g);
        }
      }
      return MaxOverMean(weights, owner, groups);
    };
    ASSERT_LE(heaviest(options), heaviest({}) + 0.001);
  }
}

TEST(BalancedTest, DenseMasksReachTheLowerBoundOfWholeRows) {
  // A part of ceil(n / R) rows is computed with every column over the ring, so whole rows have a
  // ratio of at least ceil(n / R) / (n / R).
  for (const auto& [blocks, ring] : std::vector<std::pair<int, int>>{{540, 8}, {26, 8}, {9, 2}}) {
    SCOPED_TRACE(::testing::Message() << blocks << " blocks on " << ring);
    const AttentionShape shape{2, 8, blocks * 4L, {4, 4}};
    LayerMasks masks;
    masks.head.assign(2, std::make_shared<BlockMask>(BlockMask::Full(blocks, blocks)));
    BalancedOptions options;
    options.move_price = 0;
    const Partition made =
        MakeBalanced(shape, masks, 1, ring, MakeHomeLayout(shape, ring), options);
    const double bound =
        static_cast<double>((blocks + ring - 1) / ring) / (static_cast<double>(blocks) / ring);
    EXPECT_NEAR(BarrierRho(masks, made), bound, 1e-9);
  }
}

}  // namespace
}  // namespace dbsp::planner
