// SPDX-License-Identifier: Apache-2.0
// Exchanges needed and allgather: which ranks receive a K/V block, and the memory that a rank then
// holds.
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "core/error.h"
#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/schedule.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

Schedule ScheduleOf(const RandomCase& made) {
  return BuildSchedule(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home);
}
LayerVolumes WorkOf(const RandomCase& made) {
  return BuildLayerVolumes(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
}

/// A random placement that allgather and needed can run.
RandomCase MakeOnceCase(std::mt19937_64& random) {
  RandomCase made = MakeRandomLayerCase(random);
  made.strategy.exchange = Exchange::kNeeded;
  made.partition = WithoutColumns(std::move(made.partition));
  return made;
}

int ComputingRank(const HeadGroup& group, int row) {
  return group.ranks.size() == 1 ? group.ranks.front() : group.ranks[group.row_owner[row]];
}

using Arrival = std::tuple<Tensor, int, int, int>;  // tensor, head, block, rank

/// The K/V blocks that the placement needs, block by block.
std::set<Arrival> WantedKv(const RandomCase& made) {
  const bool all = made.strategy.exchange == Exchange::kAllGather;
  std::set<Arrival> wanted;
  for (const HeadGroup& group : made.partition.groups) {
    for (const int head : group.heads) {
      const BlockMask& mask = *made.layer.masks.head[head];
      for (int j = 0; j < mask.cols(); ++j) {
        std::set<int> ranks;
        if (all) ranks.insert(group.ranks.begin(), group.ranks.end());
        for (int i = 0; i < mask.rows(); ++i) {
          if (mask.Get(i, j)) ranks.insert(ComputingRank(group, i));
        }
        for (const int rank : ranks) {
          wanted.insert({Tensor::kK, head, j, rank});
          wanted.insert({Tensor::kV, head, j, rank});
        }
      }
    }
  }
  return wanted;
}

TEST(NeededTest, KvGoExactlyToTheRanksThatUseThem) {
  std::mt19937_64 random(51);
  for (int trial = 0; trial < 2000; ++trial) {
    RandomCase made = MakeOnceCase(random);
    if (trial % 3 == 0) made.strategy.exchange = Exchange::kAllGather;
    const Schedule schedule = ScheduleOf(made);
    ASSERT_EQ(schedule.before.size(), 1U);
    std::set<Arrival> sent;
    for (std::size_t pair = 0; pair < schedule.before[0].items.size(); ++pair) {
      const int source = static_cast<int>(pair) / schedule.ranks;
      for (const BlockItem& item : schedule.before[0].items[pair]) {
        if (item.tensor == Tensor::kQ) continue;
        const std::int64_t token = std::int64_t{item.block} * made.layer.shape.block.k;
        ASSERT_EQ(source, made.home.RankOf(token));
        ASSERT_TRUE(
            sent.insert(
                    {item.tensor, item.head, item.block, static_cast<int>(pair) % schedule.ranks})
                .second);
      }
    }
    ASSERT_EQ(sent, WantedKv(made)) << "trial " << trial;
  }
}

TEST(NeededTest, RowsWithoutAnActiveBlockAreSentToo) {
  std::mt19937_64 random(52);
  for (int trial = 0; trial < 200; ++trial) {
    RandomCase made = MakeOnceCase(random);
    const auto& shape = made.layer.shape;
    made.layer.masks.head.assign(shape.heads,
                                 std::make_shared<BlockMask>(shape.q_blocks(), shape.k_blocks()));
    const Schedule schedule = ScheduleOf(made);
    std::size_t rows = 0;
    for (const RankSchedule& program : schedule.rank) {
      for (const HeadRows& head : program.heads) rows += head.rows.size();
      for (const HeadColumns& head : program.columns.at(0)) ASSERT_TRUE(head.cols.empty());
    }
    const auto all = static_cast<std::size_t>(shape.heads) * shape.q_blocks();
    ASSERT_EQ(rows, all);
    for (const ExchangeRound* round : {&schedule.before[0], &schedule.after[0]}) {
      std::size_t items = 0;
      for (const auto& list : round->items) items += list.size();
      ASSERT_EQ(items, all);
    }
  }
}

TEST(NeededTest, NoPairOfRanksMovesMoreThanWithAllgatherAndAsMuchIfAllBlocksAreActive) {
  std::mt19937_64 random(53);
  for (int trial = 0; trial < 1000; ++trial) {
    RandomCase made = MakeOnceCase(random);
    const bool full = trial % 4 == 0;
    if (full) {
      for (BlockMaskPtr& mask : made.layer.masks.head) {
        mask = std::make_shared<BlockMask>(BlockMask::Full(mask->rows(), mask->cols()));
      }
    }
    const LayerVolumes needed = WorkOf(made);
    made.strategy.exchange = Exchange::kAllGather;
    const LayerVolumes all = WorkOf(made);
    // A rank of a group without rows needs nothing.
    bool idle = false;
    for (const HeadGroup& group : made.partition.groups) {
      const std::set<int> owners(group.row_owner.begin(), group.row_owner.end());
      idle = idle || (group.ranks.size() > 1 && owners.size() < group.ranks.size());
    }
    for (std::size_t pair = 0; pair < all.rounds[0].bytes.size(); ++pair) {
      ASSERT_LE(needed.rounds[0].bytes[pair], all.rounds[0].bytes[pair]);
      if (full && !idle) {
        ASSERT_EQ(needed.rounds[0].bytes[pair], all.rounds[0].bytes[pair]);
      }
    }
    ASSERT_EQ(needed.rounds[1].bytes, all.rounds[1].bytes);
    ASSERT_EQ(needed.must_move_bytes, all.must_move_bytes);
    ASSERT_LE(needed.must_move_bytes, needed.TotalBytesSent());
  }
}

TEST(NeededTest, WholeHeadsMoveAsMuchAsUlyssesWithoutTheUnneededColumns) {
  const AttentionShape shape{4, 8, 30, {4, 4}};
  auto mask = std::make_shared<BlockMask>(8, 8);
  for (int i = 0; i < 8; ++i) mask->SetRange(i, 0, 6);  // columns 6 and 7 (of 2 tokens) are unused
  LayerMasks masks;
  masks.head.assign(4, mask);
  const HomeLayout home = MakeHomeLayout(shape, 2);
  const Partition partition = MakePartition(Family::kUlysses, shape, masks, 2, 2, 1, home);
  Strategy strategy;
  strategy.ulysses_degree = 2;
  const LayerVolumes whole =
      BuildLayerVolumes(shape, masks, partition, strategy, home, DType::kF32);
  strategy.exchange = Exchange::kNeeded;
  const LayerVolumes needed =
      BuildLayerVolumes(shape, masks, partition, strategy, home, DType::kF32);
  const std::int64_t token = 8 * 4;  // bytes of one token of one head
  EXPECT_EQ(whole.rounds[0].At(1, 0) - needed.rounds[0].At(1, 0), 2 * 2 * (4 + 2) * token);
  EXPECT_EQ(whole.rounds[0].At(0, 1), needed.rounds[0].At(0, 1));
  EXPECT_EQ(whole.attention[0][0].active_pairs, needed.attention[0][0].active_pairs);
}

TEST(NeededTest, PlacementsThatTheExchangeCannotRunAreRefused) {
  std::mt19937_64 random(54);
  RandomCase made = MakeRandomCase(random);
  made.layer.shape = {2, 8, 32, {4, 4}};
  made.layer.masks.head.assign(2, std::make_shared<BlockMask>(BlockMask::Full(8, 8)));
  made.home = MakeHomeLayout(made.layer.shape, 2);
  made.partition = {2, 2, 8, 8, {}};
  for (int head = 0; head < 2; ++head) {  // both ranks are in both groups
    made.partition.groups.push_back({{head}, {0, 1}, {0, 0, 0, 0, 1, 1, 1, 1}, {}});
  }
  made.strategy = {};
  made.strategy.family = Family::kPlaced;
  made.strategy.exchange = Exchange::kNeeded;
  EXPECT_NO_THROW((void)ScheduleOf(made));
  made.strategy.exchange = Exchange::kAllToAll;
  EXPECT_THROW((void)ScheduleOf(made), Error);
  for (HeadGroup& group : made.partition.groups) group.col_owner = group.row_owner;
  made.strategy.exchange = Exchange::kRing;  // one ring per rank
  EXPECT_THROW((void)WorkOf(made), Error);
  made.strategy.exchange = Exchange::kNeeded;
  EXPECT_THROW((void)WorkOf(made), Error);
}

}  // namespace
}  // namespace dbsp::planner
