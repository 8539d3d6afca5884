// SPDX-License-Identifier: Apache-2.0
// Volumes and lists follow the same rule: this test counts the volumes of BuildLayerVolumes from
// the lists of BuildSchedule, item by item.
#include "planner/timeline/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"
#include "planner/placement/families.h"
#include "planner/timeline/layer_volumes.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

using Case = RandomCase;

std::int64_t ItemBytes(const AttentionShape& shape, const BlockItem& item, DType dtype) {
  const bool query = item.tensor == Tensor::kQ || item.tensor == Tensor::kO;
  return static_cast<std::int64_t>(query ? shape.q_tokens(item.block)
                                         : shape.k_tokens(item.block)) *
         shape.head_dim * BytesOf(dtype);
}

bool OfOtherChunk(const Case& made, int head, std::size_t step) {
  const std::vector<int>& chunk = made.partition.chunk_of_head;
  return !chunk.empty() && chunk[head] != static_cast<int>(step);
}

/// Counts the attention of a rank at `step` from its program, one block at a time.
AttentionWork CountAttention(const Case& made, const RankSchedule& program, std::size_t step) {
  AttentionWork work;
  const AttentionShape& shape = made.layer.shape;
  for (std::size_t h = 0; h < program.heads.size(); ++h) {
    const HeadRows& rows = program.heads[h];
    const HeadColumns& columns = program.columns[step][h];
    EXPECT_EQ(columns.head, rows.head);
    if (OfOtherChunk(made, rows.head, step)) {
      EXPECT_TRUE(columns.cols.empty());
      continue;
    }
    const BlockMask& mask = *made.layer.masks.head[rows.head];
    work.heads += rows.rows.empty() ? 0 : 1;
    work.rows += static_cast<std::int64_t>(rows.rows.size());
    for (const int i : rows.rows) {
      bool active = false;
      for (const int j : columns.cols) {
        if (!mask.Get(i, j)) continue;
        active = true;
        ++work.active_blocks;
        work.active_pairs += static_cast<std::int64_t>(shape.q_tokens(i)) * shape.k_tokens(j);
      }
      work.active_rows += active ? 1 : 0;
    }
  }
  return work;
}

std::int64_t CountMergeRows(const Case& made, const RankSchedule& program, std::size_t step) {
  std::int64_t merged = 0;
  for (std::size_t h = 0; step > 0 && h < program.heads.size(); ++h) {
    const HeadRows& rows = program.heads[h];
    if (!made.partition.chunk_of_head.empty()) continue;  // nothing to merge
    const BlockMask& mask = *made.layer.masks.head[rows.head];
    for (const int i : rows.rows) {
      bool active = false;
      for (const int j : program.columns[step][h].cols) active = active || mask.Get(i, j);
      merged += active ? made.layer.shape.q_tokens(i) : 0;
    }
  }
  return merged;
}

std::int64_t CountHop(const Case& made,
                      const RankSchedule& program,
                      std::size_t step,
                      DType dtype) {
  std::int64_t bytes = 0;
  if (program.ring_next < 0) return 0;
  for (const HeadColumns& columns : program.columns[step + 1]) {
    for (const int j : columns.cols) {
      bytes += 2 * ItemBytes(made.layer.shape, {Tensor::kK, columns.head, j}, dtype);
    }
  }
  return bytes;
}

void ExpectSameRounds(const Case& made,
                      const Schedule& schedule,
                      const LayerVolumes& work,
                      DType dtype) {
  std::vector<ExchangeRound> rounds = schedule.before;
  rounds.insert(rounds.end(), schedule.after.begin(), schedule.after.end());
  ASSERT_EQ(work.rounds.size(), rounds.size());
  for (std::size_t round = 0; round < rounds.size(); ++round) {
    for (std::size_t pair = 0; pair < rounds[round].items.size(); ++pair) {
      std::int64_t bytes = 0;
      for (const BlockItem& item : rounds[round].items[pair]) {
        bytes += ItemBytes(made.layer.shape, item, dtype);
      }
      ASSERT_EQ(work.rounds[round].bytes[pair], bytes) << "round " << round << " pair " << pair;
      ASSERT_TRUE(
          std::is_sorted(rounds[round].items[pair].begin(), rounds[round].items[pair].end()));
    }
  }
}

TEST(ScheduleTest, ListsHoldExactlyTheVolumesOfTheLayer) {
  std::mt19937_64 random(11);
  for (int trial = 0; trial < 2500; ++trial) {
    const Case made = MakeRandomCase(random);
    SCOPED_TRACE(testing::Message()
                 << "trial " << trial << " " << NameOf(made.strategy.family) << " "
                 << made.strategy.ulysses_degree << "x" << made.strategy.ring_degree << " "
                 << NameOf(made.strategy.exchange));
    const DType dtype = Draw(random, 0, 1) == 0 ? DType::kF32 : DType::kBf16;
    const auto& [shape, masks] = made.layer;
    const Schedule schedule = BuildSchedule(shape, masks, made.partition, made.strategy, made.home);
    const LayerVolumes work =
        BuildLayerVolumes(shape, masks, made.partition, made.strategy, made.home, dtype);
    ASSERT_EQ(work.steps, schedule.steps);
    ExpectSameRounds(made, schedule, work, dtype);
    std::int64_t kept = 0;
    for (std::size_t t = 0; t < static_cast<std::size_t>(work.steps); ++t) {
      for (std::size_t r = 0; r < static_cast<std::size_t>(work.ranks); ++r) {
        const RankSchedule& program = schedule.rank[r];
        const AttentionWork want = CountAttention(made, program, t);
        const AttentionWork& got = work.attention[t][r];
        ASSERT_EQ(got.active_blocks, want.active_blocks);
        ASSERT_EQ(got.active_pairs, want.active_pairs);
        ASSERT_EQ(got.active_rows, want.active_rows);
        ASSERT_EQ(got.rows, want.rows);
        ASSERT_EQ(got.heads, want.heads);
        ASSERT_EQ(work.merge_rows[t][r], CountMergeRows(made, program, t));
        ASSERT_EQ(work.ring_next[r], program.ring_next);
        if (t + 1 < static_cast<std::size_t>(work.steps)) {
          ASSERT_EQ(work.hop_bytes[t][r], CountHop(made, program, t, dtype));
        }
        kept += want.active_blocks;
      }
    }
    ASSERT_EQ(work.whole.active_blocks, kept);
    ASSERT_LE(work.must_move_bytes, work.TotalBytesSent());
  }
}

TEST(ScheduleTest, EveryActiveBlockIsComputedOnceOnARankThatHasItsData) {
  std::mt19937_64 random(12);
  for (int trial = 0; trial < 500; ++trial) {
    const Case made = MakeRandomLayerCase(random);  // chunks: validate_test
    const auto& [shape, masks] = made.layer;
    const Schedule schedule = BuildSchedule(shape, masks, made.partition, made.strategy, made.home);
    std::map<BlockItem, std::set<int>> at;  // where every item is, moved by the rounds
    for (int head = 0; head < shape.heads; ++head) {
      for (int i = 0; i < shape.q_blocks(); ++i) {
        at[{Tensor::kQ, head, i}] = {made.home.RankOf(std::int64_t{i} * shape.block.q)};
      }
      for (int j = 0; j < shape.k_blocks(); ++j) {
        const int home_rank = made.home.RankOf(std::int64_t{j} * shape.block.k);
        at[{Tensor::kK, head, j}] = at[{Tensor::kV, head, j}] = {home_rank};
      }
    }
    std::multiset<std::tuple<int, int, int>> computed;
    for (const ExchangeRound& round : schedule.before) {
      std::map<BlockItem, std::set<int>> next;
      for (std::size_t pair = 0; pair < round.items.size(); ++pair) {
        const int from = static_cast<int>(pair) / schedule.ranks;
        for (const BlockItem& item : round.items[pair]) {
          ASSERT_TRUE(at.at(item).contains(from));
          ASSERT_TRUE(next[item].insert(static_cast<int>(pair) % schedule.ranks).second);
          ASSERT_TRUE(item.tensor != Tensor::kQ || next[item].size() == 1);
        }
      }
      at = std::move(next);
    }
    for (int r = 0; r < schedule.ranks; ++r) {
      const RankSchedule& program = schedule.rank[r];
      for (std::size_t t = 0; t < program.columns.size(); ++t) {
        for (std::size_t h = 0; h < program.heads.size(); ++h) {
          const int head = program.heads[h].head;
          int holder = r;  // rank on which the K/V of step t started
          for (std::size_t hop = 0; hop < t && holder >= 0; ++hop) {
            holder = schedule.rank[holder].ring_next;
          }
          for (const int j : program.columns[t][h].cols) {
            ASSERT_TRUE(at.at({Tensor::kK, head, j}).contains(holder));
            ASSERT_TRUE(at.at({Tensor::kV, head, j}).contains(holder));
            for (const int i : program.heads[h].rows) {
              ASSERT_TRUE(at.at({Tensor::kQ, head, i}).contains(r));
              if (masks.head[head]->Get(i, j)) {
                computed.emplace(head, i, j);
              }
            }
          }
        }
      }
    }
    std::size_t all = 0;
    for (const BlockMaskPtr& mask : masks.head) all += static_cast<std::size_t>(mask->Count());
    ASSERT_EQ(computed.size(), all);
    ASSERT_EQ((std::set<std::tuple<int, int, int>>(computed.begin(), computed.end()).size()), all);
  }
}

TEST(ScheduleTest, DbspTakesTwoRoundsEachWayOnlyIfHeadsAndBlocksAreSplit) {
  AttentionShape shape{4, 8, 64, {4, 4}};
  LayerMasks masks;
  masks.head.assign(4, std::make_shared<BlockMask>(BlockMask::Full(16, 16)));
  const HomeLayout home = MakeHomeLayout(shape, 4);
  for (const auto& [u, r] : DegreesOf(Family::kDbsp, 4, 4)) {
    const Partition partition = MakePartition(Family::kDbsp, shape, masks, 4, u, r, home);
    Strategy strategy;
    strategy.family = Family::kDbsp;
    strategy.ulysses_degree = u;
    strategy.ring_degree = r;
    strategy.exchange = ExchangeOf(Family::kDbsp, r);
    const Schedule schedule = BuildSchedule(shape, masks, partition, strategy, home);
    EXPECT_EQ(schedule.before.size(), u > 1 && r > 1 ? 2U : 1U);
    EXPECT_EQ(schedule.after.size(), schedule.before.size());
    for (const Exchange exchange : {Exchange::kNeeded, Exchange::kAllGather}) {
      strategy.exchange = exchange;
      const Schedule once = BuildSchedule(shape, masks, WithoutColumns(partition), strategy, home);
      EXPECT_EQ(once.before.size(), 1U);
      EXPECT_EQ(once.after.size(), 1U);
      EXPECT_EQ(once.steps, 1);
    }
  }
}

}  // namespace
}  // namespace dbsp::planner
