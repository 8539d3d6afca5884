// SPDX-License-Identifier: Apache-2.0
// The traffic that placed counts, and the search that reduces it.
#include "planner/placement/placed_traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "planner/placement/families.h"
#include "planner/placement/head_fill_search.h"
#include "planner/placement/placed.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/rules/synthetic.h"
#include "tests/planner/awkward_layers.h"
#include "tests/planner/random_placed.h"

namespace dbsp::planner {
namespace {

struct Homes {
  std::vector<int> rows;
  std::vector<int> cols;
};

Homes HomesOf(const AttentionShape& shape, int ranks) {
  const HomeLayout home = MakeHomeLayout(shape, ranks);
  Homes homes;
  for (int i = 0; i < shape.q_blocks(); ++i) {
    homes.rows.push_back(home.RankOf(static_cast<std::int64_t>(i) * shape.block.q));
  }
  for (int j = 0; j < shape.k_blocks(); ++j) {
    homes.cols.push_back(home.RankOf(static_cast<std::int64_t>(j) * shape.block.k));
  }
  return homes;
}

std::vector<int> OwnersOf(const Partition& partition) {
  const auto rows = static_cast<std::size_t>(partition.q_blocks);
  std::vector<int> owner(static_cast<std::size_t>(partition.heads) * rows);
  for (const HeadGroup& group : partition.groups) {
    for (const int head : group.heads) {
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = group.row_owner.empty() ? 0 : static_cast<std::size_t>(group.row_owner[r]);
        owner[static_cast<std::size_t>(head) * rows + r] = group.ranks[at];
      }
    }
  }
  return owner;
}

Strategy Needed(int ranks) {
  Strategy strategy;
  strategy.family = Family::kPlaced;
  strategy.ulysses_degree = ranks;
  strategy.exchange = Exchange::kNeeded;
  return strategy;
}

TEST(PlacedTrafficTest, EqualsTheBytesOfTheListsIfNoBlockIsShort) {
  std::mt19937_64 random(81);
  for (int trial = 0; trial < 500; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    RandomLayer layer = MakeRandomLayer(random);
    const std::int64_t unit = std::lcm(layer.shape.block.q, layer.shape.block.k);
    layer.shape.tokens = unit * Draw(random, 1, 12);
    const int rows = layer.shape.q_blocks();
    const int cols = layer.shape.k_blocks();
    for (BlockMaskPtr& mask : layer.masks.head) {
      auto drawn = std::make_shared<BlockMask>(rows, cols);
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) drawn->Set(i, j, Draw(random, 0, 4) == 0);
      }
      mask = drawn;
    }
    const int ranks = Draw(random, 1, 7);
    const Partition placed = WithoutColumns(MakeRandomPlaced(random, layer.shape, ranks));
    const LayerVolumes work = BuildLayerVolumes(layer.shape,
                                                layer.masks,
                                                placed,
                                                Needed(ranks),
                                                MakeHomeLayout(layer.shape, ranks),
                                                DType::kF32);
    const Homes homes = HomesOf(layer.shape, ranks);
    const PlacedTraffic traffic =
        TrafficOf(OwnersOf(placed), layer.masks, homes.rows, homes.cols, ranks);
    // rows * cols units are the tokens of one head in one of Q, K, V, O.
    const std::int64_t bytes = layer.shape.tokens * layer.shape.head_dim * BytesOf(DType::kF32);
    const std::int64_t units = std::int64_t{rows} * cols;
    for (int p = 0; p < ranks; ++p) {
      std::int64_t sent = 0;
      std::int64_t received = 0;
      for (const TrafficMatrix& round : work.rounds) {
        sent += round.Sent(p);
        received += round.Received(p);
      }
      ASSERT_EQ(traffic.sent[p] * bytes, sent * units);
      ASSERT_EQ(traffic.received[p] * bytes, received * units);
    }
    ASSERT_EQ(traffic.Busiest() * bytes, work.MaxBytesOneWay() * units);
  }
}

TEST(PlacedTrafficTest, TheSearchNeverAddsTrafficAndKeepsTheBalance) {
  std::mt19937_64 random(82);
  std::vector<RandomLayer> layers;
  for (int trial = 0; trial < 1000; ++trial) layers.push_back(MakeRandomLayer(random));
  for (const AwkwardLayer& layer : AwkwardLayers()) layers.push_back(layer);
  for (const RandomLayer& layer : layers) {
    const int ranks = Draw(random, 1, 12);
    const Homes homes = HomesOf(layer.shape, ranks);
    const RowLoads loads = RowLoadsOf(layer.masks);
    PlacedOptions options;
    options.traffic_scans = 300;
    const Partition made = PlaceHeads(loads, layer.masks, homes.rows, homes.cols, ranks, options);
    options.traffic_scans = 0;
    const Partition plain = PlaceHeads(loads, layer.masks, homes.rows, homes.cols, ranks, options);
    const auto busiest = [&](const Partition& partition) {
      return TrafficOf(OwnersOf(partition), layer.masks, homes.rows, homes.cols, ranks).Busiest();
    };
    const auto heaviest = [&](const Partition& partition) {
      return static_cast<double>(std::ranges::max(RankLoads(loads, partition)));
    };
    const auto total = static_cast<double>(
        std::accumulate(loads.blocks.begin(), loads.blocks.end(), std::int64_t{0}));
    ASSERT_LE(busiest(made), busiest(plain));
    ASSERT_LE(heaviest(made), std::max(heaviest(plain), total / ranks * 1.005 + 1e-9));
  }
}

TEST(PlacedTrafficTest, SkewedHeadsAreSplitWithLittleTraffic) {
  // 12 heads, few of which hold most blocks: 1.5 heads per rank, the heaviest with the load of 2.6
  // ranks.
  const std::vector<std::int64_t> counts{
      40000, 22000, 15000, 9000, 7000, 6000, 5000, 5000, 4000, 3000, 3000, 2000};
  const AttentionShape shape{12, 128, 256 * 128, {128, 128}};
  const LayerMasks masks = SyntheticLayer(256, 256, counts, Pattern::kBand, 0, 0, 0);
  const HomeLayout home = MakeHomeLayout(shape, 8);
  const auto bytes = [&](Family family) {
    Strategy strategy = Needed(8);
    strategy.family = family;
    strategy.exchange = ExchangeOf(family, 1);
    const Partition made = MakePartition(family, shape, masks, 8, 8, 1, home);
    return static_cast<double>(
        BuildLayerVolumes(shape, masks, made, strategy, home, DType::kBf16).MaxBytesOneWay());
  };
  EXPECT_LE(bytes(Family::kPlaced), 1.15 * bytes(Family::kUlysses));
}

TEST(PlacedTrafficTest, HeadsWithBlocksNearTheDiagonalStayAtHome) {
  // Half of the heads have blocks near the diagonal, the others at random columns.
  AttentionShape shape{16, 128, 256 * 128, {128, 128}};
  LayerMasks masks;
  Prng prng{7};
  for (int h = 0; h < shape.heads; ++h) {
    if (h % 2 == 0) {
      masks.head.push_back(std::make_shared<const BlockMask>(
          SyntheticMask(256, 256, 20000 + 700 * h, Pattern::kRandom, prng)));
      continue;
    }
    auto near = std::make_shared<BlockMask>(256, 256);
    for (int i = 0; i < 256; ++i) near->SetRange(i, std::max(0, i - h), std::min(256, i + h));
    masks.head.push_back(near);
  }
  const Homes homes = HomesOf(shape, 8);
  const Partition made = PlaceHeads(RowLoadsOf(masks), masks, homes.rows, homes.cols, 8);
  const std::vector<int> owner = OwnersOf(made);
  int at_home = 0;
  int rows = 0;
  for (std::size_t h = 1; h < 16; h += 2) {
    for (std::size_t r = 0; r < 256; ++r, ++rows) at_home += owner[h * 256 + r] == homes.rows[r];
  }
  EXPECT_GT(at_home, rows * 9 / 10);  // single rows level the ranks
  const double ulysses = 4 * 0.875 * 2 * 256 * 256;
  EXPECT_LT(TrafficOf(owner, masks, homes.rows, homes.cols, 8).Busiest(), 0.9 * ulysses);
}

std::vector<HeadFill> Fills(std::span<const std::int64_t> totals,
                            std::span<const int> owner,
                            int ranks,
                            const HeadFillOptions& options) {
  std::vector<HeadFill> fills;
  SearchHeadFills(totals, owner, ranks, options, [&](const HeadFill& fill) {
    fills.push_back(fill);
    return false;
  });
  return fills;
}

TEST(HeadFillTest, EveryHeadIsPlacedInFullAndNoRankExceedsTheLimit) {
  std::mt19937_64 random(83);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const int ranks = Draw(random, 1, 9);
    std::vector<std::int64_t> totals(Draw(random, 1, 20));
    std::vector<int> owner;
    for (auto& total : totals) {
      total = Draw(random, 0, 3) == 0 ? 0 : Draw(random, 1, 100000);
      owner.push_back(Draw(random, 0, ranks - 1));
    }
    const auto sum =
        static_cast<double>(std::accumulate(totals.begin(), totals.end(), std::int64_t{0}));
    if (sum <= 0) continue;
    const double limit = sum / ranks * 1.001;
    const std::vector<HeadFill> fills = Fills(totals, owner, ranks, {limit, 256, 200, 3});
    ASSERT_FALSE(fills.empty());
    ASSERT_LE(fills.size(), 3U);
    for (const HeadFill& fill : fills) {
      std::vector<double> load(ranks, 0);
      std::vector<std::int64_t> rest = totals;
      std::vector<std::int64_t> most(totals.size(), 0);
      for (const HeadShare& share : fill.shares) {
        const auto head = static_cast<std::size_t>(share.head);
        ASSERT_GE(share.load, 0);
        ASSERT_NE(share.rank, fill.owner[head]);
        load[share.rank] += static_cast<double>(share.load);
        rest[head] -= share.load;
        most[head] = std::max(most[head], share.load);
      }
      for (std::size_t h = 0; h < totals.size(); ++h) {
        ASSERT_GE(rest[h] + 1, most[h]);  // the owner has most of it
        load[fill.owner[h]] += static_cast<double>(rest[h]);
      }
      // The load of a part is rounded down to whole blocks. The owner has the rest.
      ASSERT_LE(*std::ranges::max_element(load), limit + static_cast<double>(fill.shares.size()));
    }
  }
}

TEST(HeadFillTest, BalancedHeadsStayWhole) {
  const std::vector<std::int64_t> totals{700, 300, 600, 400, 900, 100, 500, 500};
  const std::vector<int> owner{0, 0, 0, 1, 1, 2, 2, 3};  // whoever finds the pairs needs no split
  const std::vector<HeadFill> fills = Fills(totals, owner, 4, {1001, 64, 3000, 2});
  ASSERT_FALSE(fills.empty());
  EXPECT_TRUE(std::ranges::any_of(fills, [](const HeadFill& f) { return f.shares.empty(); }));
}

}  // namespace
}  // namespace dbsp::planner
