// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "planner/placement/families.h"
#include "planner/timeline/barrier.h"
#include "tests/planner/fake_costs.h"
#include "tests/planner/layer_events.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

LayerVolumes WorkOf(const RandomCase& made) {
  return BuildLayerVolumes(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
}

/// Makespan by relaxation: events move later until all rules hold.
double RelaxedMakespan(const LayerVolumes& work, const LayerDurations& durations) {
  LayerEvents layer(work, durations);
  auto& events = layer.events();
  for (bool moved = true; moved;) {
    moved = false;
    for (auto& [id, event] : events) {
      double start = 0;
      for (const LayerEvents::Id& before : event.after) {
        start = std::max(start, events.at(before).end);
      }
      if (start + event.duration > event.end) {
        event.end = start + event.duration;
        moved = true;
      }
    }
  }
  double last = 0;
  for (const auto& [id, event] : events) last = std::max(last, event.end);
  return last;
}

TEST(TimelineTest, AgreesWithRelaxationOfTheRules) {
  std::mt19937_64 random(21);
  for (int trial = 0; trial < 300; ++trial) {
    const LayerVolumes work = WorkOf(MakeRandomCase(random));
    const LayerDurations durations =
        Shaped(work, [&] { return static_cast<double>(Draw(random, 0, 50)); });
    const Timeline timeline = Simulate(work, durations, RingSync::kNeighbour);
    ASSERT_EQ(static_cast<double>(timeline.makespan_ns), RelaxedMakespan(work, durations))
        << "trial " << trial;
  }
}

TEST(TimelineTest, BarrierOfBlockCountsIsRho) {
  std::mt19937_64 random(22);
  for (int trial = 0; trial < 1000; ++trial) {
    const RandomCase made = MakeRandomLayerCase(random);
    const LayerVolumes work = WorkOf(made);
    LayerDurations durations = Shaped(work, [] { return 0.0; });
    for (std::size_t t = 0; t < durations.attention.size(); ++t) {
      for (std::size_t r = 0; r < durations.attention[t].size(); ++r) {
        durations.attention[t][r] = static_cast<double>(work.attention[t][r].active_blocks);
      }
    }
    const Timeline barrier = Simulate(work, durations, RingSync::kBarrier);
    const BarrierLoad load = BarrierLoadOf(made.layer.masks, made.partition);
    ASSERT_EQ(static_cast<double>(barrier.makespan_ns), load.barrier) << "trial " << trial;
    ASSERT_EQ(BarrierLoadOf(work).barrier, load.barrier);
    ASSERT_NEAR(BarrierLoadOf(work).mean, load.mean, 1e-9);
    const FakeCosts costs;
    ASSERT_NEAR(Predict(work, made.layer.shape, DType::kF32, costs).rho_barrier,
                BarrierRho(made.layer.masks, made.partition),
                1e-9);
  }
}

TEST(TimelineTest, BarrierLoadOfVolumesEqualsThatOfMasksWithChunks) {
  std::mt19937_64 random(24);
  for (int trial = 0; trial < 500; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const BarrierLoad load = BarrierLoadOf(made.layer.masks, made.partition);
    const BarrierLoad amounts = BarrierLoadOf(WorkOf(made));
    ASSERT_EQ(amounts.barrier, load.barrier) << "trial " << trial;
    ASSERT_NEAR(amounts.mean, load.mean, 1e-9);
  }
}

TEST(TimelineTest, NeighbourSyncTakesAtMostTheBarrierAndAtLeastTheBusiestRank) {
  std::mt19937_64 random(23);
  for (int trial = 0; trial < 500; ++trial) {
    const LayerVolumes work = WorkOf(MakeRandomCase(random));
    LayerDurations durations =
        Shaped(work, [&] { return static_cast<double>(Draw(random, 0, 50)); });
    const Timeline neighbour = Simulate(work, durations, RingSync::kNeighbour);
    ASSERT_LE(neighbour.makespan_ns, Simulate(work, durations, RingSync::kBarrier).makespan_ns);
    std::vector<std::int64_t> busy(work.ranks, 0);
    std::vector<std::int64_t> device_end(busy.size(), 0);
    for (std::size_t i = 0; i < neighbour.segments.size(); ++i) {
      const Segment& segment = neighbour.segments[i];
      const auto r = static_cast<std::size_t>(segment.rank);
      if (i > 0) {
        const Segment& last = neighbour.segments[i - 1];
        ASSERT_TRUE(last.rank < segment.rank ||
                    (last.rank == segment.rank && last.start_ns <= segment.start_ns));
      }
      if (segment.kind == SegmentKind::kHop || segment.kind == SegmentKind::kExchange) continue;
      ASSERT_GE(segment.start_ns, device_end[r]) << "two segments at once on one device";
      device_end[r] = segment.start_ns + segment.duration_ns;
      busy[r] += segment.duration_ns;
    }
    for (const std::int64_t time : busy) ASSERT_LE(time, neighbour.makespan_ns);

    ForEachTable(durations, [&](auto& grid) {  // never faster when something takes longer
      if (grid.empty()) return;
      auto& row = grid[random() % grid.size()];
      row[random() % row.size()] += Draw(random, 0, 40);
    });
    ASSERT_GE(Simulate(work, durations, RingSync::kNeighbour).makespan_ns, neighbour.makespan_ns);
  }
}

TEST(TimelineTest, RefusesDurationsOfAnotherShapeOrOutOfRange) {
  std::mt19937_64 random(24);
  const LayerVolumes work = WorkOf(MakeRandomCase(random));
  const LayerDurations good = Shaped(work, [] { return 1.0; });
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    LayerDurations durations = good;
    durations.attention[0][0] = bad;
    EXPECT_THROW((void)Simulate(work, durations, RingSync::kNeighbour), Error);
  }
  LayerDurations durations = good;
  durations.pack.pop_back();
  EXPECT_THROW((void)Simulate(work, durations, RingSync::kBarrier), Error);
}

/// Records the ranks whose exchanges and hops are priced.
class ListeningCosts final : public FakeCosts {
 public:
  [[nodiscard]] Estimate AllToAll(std::span<const int> ranks, std::int64_t bytes) const override {
    groups.emplace(ranks.begin(), ranks.end());
    return FakeCosts::AllToAll(ranks, bytes);
  }
  [[nodiscard]] Estimate Hop(std::span<const int> ring, std::int64_t bytes) const override {
    std::vector<int> sorted(ring.begin(), ring.end());
    std::sort(sorted.begin(), sorted.end());
    rings.insert(std::move(sorted));
    return FakeCosts::Hop(ring, bytes);
  }
  mutable std::set<std::vector<int>> groups, rings;
};

TEST(PredictTest, ExchangesArePricedForTheRanksThatTakePart) {
  std::mt19937_64 random(26);
  for (int trial = 0; trial < 100; ++trial) {
    const RandomCase made = MakeRandomCase(random);
    const LayerVolumes work = WorkOf(made);
    const ListeningCosts costs;
    const LayerDurations priced = PriceLayer(work, costs, Bound::kExpected);
    std::set<std::vector<int>> groups;
    for (std::size_t round = 0; round < work.rounds.size(); ++round) {
      std::map<int, std::vector<int>> members;
      for (int r = 0; r < work.ranks; ++r) {
        members[work.component[round][r]].push_back(r);
      }
      for (const auto& [component, ranks] : members) {
        std::int64_t busiest = 0;
        for (const int r : ranks) {
          busiest = std::max({busiest, work.rounds[round].Sent(r), work.rounds[round].Received(r)});
        }
        const double expected = busiest > 0 ? FakeCosts().AllToAll(ranks, busiest).ns : 0.0;
        for (const int r : ranks) {
          ASSERT_EQ(priced.exchange[round][r], expected);
        }
        if (busiest > 0) groups.insert(ranks);
      }
    }
    ASSERT_EQ(costs.groups, groups);
  }
}

TEST(PredictTest, RingsOfUTimesRRanksTakeEveryUthRank) {
  std::mt19937_64 random(27);
  int seen = 0;
  for (int trial = 0; trial < 50; ++trial) {
    RandomCase made = MakeRandomLayerCase(random);
    const int ranks = made.partition.ranks;
    for (const auto& [u, r] : DegreesOf(Family::kUsp, ranks, made.layer.shape.heads)) {
      if (r == 1) continue;
      made.strategy.family = Family::kUsp;
      made.strategy.ulysses_degree = u;
      made.strategy.ring_degree = r;
      made.strategy.exchange = Exchange::kRing;
      made.partition =
          MakePartition(Family::kUsp, made.layer.shape, made.layer.masks, ranks, u, r, made.home);
      const ListeningCosts costs;
      (void)PriceLayer(WorkOf(made), costs, Bound::kExpected);
      for (const std::vector<int>& ring : costs.rings) {
        ASSERT_EQ(static_cast<int>(ring.size()), r);
        for (int i = 0; i < r; ++i) ASSERT_EQ(ring[i], ring[0] + i * u);
        ++seen;
      }
    }
  }
  EXPECT_GT(seen, 20);
}

TEST(PredictTest, NoStrategyBeatsTheLowerBoundOfAnyOther) {
  std::mt19937_64 random(25);
  for (int trial = 0; trial < 200; ++trial) {
    RandomCase made = MakeRandomLayerCase(random);
    FakeCosts costs;
    costs.byte_ns = Draw(random, 0, 1) == 0 ? 0.001 : 5.0;  // compute-bound, then exchange-bound
    const int ranks = made.partition.ranks;
    std::int64_t bound = 0;
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    const auto consider = [&] {
      const Prediction prediction = Predict(WorkOf(made), made.layer.shape, DType::kF32, costs);
      ASSERT_LE(prediction.low_ns, prediction.total_ns);
      ASSERT_GE(prediction.high_ns, prediction.total_ns);
      ASSERT_EQ(prediction.compute_ns + prediction.exchange_ns, prediction.total_ns);
      bound = std::max(bound, prediction.lower_bound_ns);
      best = std::min(best, prediction.total_ns);
    };
    for (const Family family : {Family::kUlysses, Family::kRing, Family::kUsp, Family::kDbsp}) {
      for (const auto& [u, r] : DegreesOf(family, ranks, made.layer.shape.heads)) {
        made.strategy.family = family;
        made.strategy.ulysses_degree = u;
        made.strategy.ring_degree = r;
        made.strategy.exchange = ExchangeOf(family, r);
        made.partition =
            MakePartition(family, made.layer.shape, made.layer.masks, ranks, u, r, made.home);
        consider();
        made.partition = WithoutColumns(std::move(made.partition));
        for (const Exchange exchange : {Exchange::kAllGather, Exchange::kNeeded}) {
          made.strategy.exchange = exchange;
          consider();
        }
      }
    }
    made.strategy.family = Family::kPlaced;
    for (int placed = 0; placed < 4; ++placed) {
      made.strategy.exchange = placed == 0 ? Exchange::kAllGather : Exchange::kNeeded;
      made.partition = MakeRandomPlaced(random, made.layer.shape, ranks);
      consider();
    }
    ASSERT_LE(bound, best) << "trial " << trial;
  }
}

}  // namespace
}  // namespace dbsp::planner
