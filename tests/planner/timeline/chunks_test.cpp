// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/chunks.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "planner/placement/chunked.h"
#include "planner/placement/placed.h"
#include "planner/timeline/timeline.h"
#include "planner/workload/row_loads.h"
#include "tests/core/expect_error.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

/// Two ranks that exchange with each other, `chunks` chunks, no bytes: durations alone count.
LayerVolumes Bare(int chunks) {
  LayerVolumes work;
  work.ranks = 2;
  work.chunks = work.steps = work.rounds_before = chunks;
  work.rounds.assign(2 * static_cast<std::size_t>(chunks), {2, {0, 0, 0, 0}});
  work.component.assign(work.rounds.size(), {0, 0});
  work.attention.assign(chunks, std::vector<AttentionWork>(2));
  work.merge_rows.assign(chunks, {0, 0});
  work.hop_bytes.assign(static_cast<std::size_t>(chunks) - 1, {0, 0});
  work.ring_next = {-1, -1};
  return work;
}

LayerDurations Even(const LayerVolumes& work, double copy, double exchange, double attention) {
  LayerDurations d;
  const auto steps = static_cast<std::size_t>(work.steps);
  d.pack.assign(work.rounds.size(), {copy, copy});
  d.unpack = d.pack;
  d.exchange.assign(work.rounds.size(), {exchange, exchange});
  d.attention.assign(steps, {attention, attention});
  d.merge.assign(steps, {0, 0});
  d.hop.assign(steps - 1, {0, 0});
  return d;
}

TEST(ChunksTest, TheExchangeOfTheNextChunkRunsUnderAttention) {
  const LayerVolumes one = Bare(1);
  const LayerVolumes two = Bare(2);
  EXPECT_EQ(Simulate(one, Even(one, 2, 20, 40), RingSync::kNeighbour).makespan_ns,
            2 + 20 + 2 + 40 + 2 + 20 + 2);
  // First chunk: packed 1, here 11, unpacked 12, computed 32, O packed 33. The second came at 21,
  // waits for the device until 33, is unpacked 34, computed 54, packed 55, home 65, unpacked 66.
  EXPECT_EQ(Simulate(two, Even(two, 1, 10, 20), RingSync::kNeighbour).makespan_ns, 66);
  // A slow link: five exchanges of 30 hide nothing but attention: 1 + 30 + 30, unpacked at 62,
  // computed 82, O packed 83 (O of the first chunk went from 61 to 91), then 91 to 121, unpacked.
  EXPECT_EQ(Simulate(two, Even(two, 1, 30, 20), RingSync::kNeighbour).makespan_ns, 122);
}

TEST(ChunksTest, OverlapIsBoundedByTheDevicesTheLinksAndTheSequence) {
  std::mt19937_64 random(3);
  for (int n = 0; n < 500; ++n) {
    SCOPED_TRACE(n);
    const LayerVolumes work = Bare(Draw(random, 2, 5));
    const double copy = Draw(random, 0, 9);
    const double exchange = Draw(random, 0, 99);
    const double attention = Draw(random, 0, 99);
    const auto total =
        Simulate(work, Even(work, copy, exchange, attention), RingSync::kNeighbour).makespan_ns;
    const double chunks = work.chunks;
    EXPECT_LE(total, chunks * (4 * copy + 2 * exchange + attention));
    EXPECT_GE(total, chunks * (4 * copy + attention));
    EXPECT_GE(total, chunks * 2 * exchange);
  }
}

TEST(ChunksTest, EveryHeadIsInAChunkAndTheChunksOfPlacedAreEven) {
  std::mt19937_64 random(4);
  int tried = 0;
  for (int n = 0; n < 200; ++n) {
    SCOPED_TRACE(n);
    const RandomLayer layer = MakeRandomLayer(random);
    const int ranks = Draw(random, 1, 4);
    const HomeLayout home = MakeHomeLayout(layer.shape, ranks);
    for (const Family family :
         {Family::kUlysses, Family::kDbsp, Family::kBalanced, Family::kPlaced}) {
      if (family == Family::kDbsp && ranks > layer.shape.heads) continue;
      const int most = std::min(4, MostChunks(family, ranks, layer.shape.heads));
      for (int chunks = 2; chunks <= most; ++chunks) {
        PartitionOptions options;
        options.chunks = chunks;
        options.balanced_scans = 100;
        const Partition made =
            MakePartition(family, layer.shape, layer.masks, ranks, ranks, 1, home, options);
        EXPECT_EQ(ValidatePartition(made, false).message(), "");
        ASSERT_EQ(ChunksOf(made), chunks);
        ++tried;
        for (int c = 0; family == Family::kPlaced && c < chunks; ++c) {
          const ChunkLayer part = ChunkOf(layer.shape, layer.masks, made, c);
          const RowLoads loads = RowLoadsOf(part.masks);
          const auto load = RankLoads(loads, part.partition);
          std::int64_t total = 0;
          for (const std::int64_t l : load) total += l;
          const std::int64_t row = *std::ranges::max_element(loads.blocks);
          EXPECT_LE(*std::ranges::max_element(load), total / ranks + 1 + row);
        }
      }
    }
  }
  EXPECT_GT(tried, 300);
}

TEST(ChunksTest, MoreChunksThanHeadsAndRingsAreRefused) {
  std::mt19937_64 random(6);
  const RandomLayer layer = MakeRandomLayer(random);
  const HomeLayout home = MakeHomeLayout(layer.shape, 2);
  PartitionOptions options;
  options.chunks = 50;
  testing::ExpectError(ErrorCode::kInvalidArgument, {"50 chunks"}, [&] {
    (void)MakePartition(Family::kUlysses, layer.shape, layer.masks, 2, 2, 1, home, options);
  });
  options.chunks = 2;
  testing::ExpectError(ErrorCode::kInvalidArgument, {"ring degree 2"}, [&] {
    (void)MakePartition(Family::kRing, layer.shape, layer.masks, 2, 1, 2, home, options);
  });
}

}  // namespace
}  // namespace dbsp::planner
