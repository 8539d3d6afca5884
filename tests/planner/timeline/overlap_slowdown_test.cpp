// SPDX-License-Identifier: Apache-2.0
// Compares attention and traffic that slow each other down with a simulation that recomputes all
// rates at every event.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "planner/timeline/timeline.h"
#include "tests/planner/fake_costs.h"
#include "tests/planner/layer_events.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

LayerVolumes WorkOf(const RandomCase& made) {
  return BuildLayerVolumes(
      made.layer.shape, made.layer.masks, made.partition, made.strategy, made.home, DType::kF32);
}

/// A layer in which exchanges or hops overlap attention, unless it has one rank.
LayerVolumes OverlappingLayer(std::mt19937_64& random) {
  for (;;) {
    const LayerVolumes work = WorkOf(MakeRandomCase(random));
    if (work.chunks > 1 || work.steps > 1) return work;
  }
}

/// A separate slowdown for every component and ring.
void SlowDown(const LayerVolumes& work,
              const std::function<OverlapSlowdown()>& value,
              LayerDurations& durations) {
  for (const std::vector<int>& component : work.component) {
    std::map<int, OverlapSlowdown> shared;
    durations.exchange_slowdown.emplace_back();
    for (const int c : component) {
      const auto [found, fresh] = shared.try_emplace(c);
      if (fresh) found->second = value();
      durations.exchange_slowdown.back().push_back(found->second);
    }
  }
  for (int r = 0; r < work.ranks; ++r) durations.hop_slowdown.push_back(value());
}

/// A simulation that finds all running events anew at every event and advances to the next one.
/// Exchanges of a component are one event, that of the first rank, with the longest duration.
class FullSimulation {
 public:
  FullSimulation(const LayerVolumes& work, const LayerDurations& durations)
      : durations_(durations), layer_(work, durations) {
    for (const auto& [id, event] : layer_.events()) left_[id] = event.duration;
    for (auto& [id, left] : left_) {
      if (std::get<0>(id) != 'x') continue;
      for (const int r : layer_.RanksOf(id)) {
        left = std::max(left, layer_.events().at({'x', std::get<1>(id), r}).duration);
      }
    }
  }

  double Makespan() {
    double now = 0;
    while (done_.size() < left_.size()) {
      const std::set<Id> running = Running();
      if (running.empty()) break;  // the last events had no work
      double step = std::numeric_limits<double>::infinity();
      std::map<Id, double> factors;
      for (const Id& id : running) {
        factors[id] = FactorOf(id, running);
        step = std::min(step, left_.at(id) * factors.at(id));
      }
      now += step;
      for (const Id& id : running) {
        double& left = left_.at(id);
        left -= step / factors.at(id);
        if (left <= 1e-9) done_.insert(id);
      }
    }
    return now;
  }

 private:
  using Id = LayerEvents::Id;

  /// Events that have begun and not ended. Events without work end as soon as they begin.
  std::set<Id> Running() {
    std::set<Id> running;
    for (bool moved = true; moved;) {
      moved = false;
      running.clear();
      for (const auto& [id, event] : layer_.events()) {
        if (done_.contains(id)) continue;
        const bool ready = std::all_of(
            event.after.begin(), event.after.end(), [&](const Id& b) { return done_.contains(b); });
        if (!ready) continue;
        if (left_.at(id) > 0) {
          running.insert(id);
        } else {
          done_.insert(id);
          moved = true;
        }
      }
    }
    return running;
  }

  [[nodiscard]] OverlapSlowdown SlowdownOf(const Id& id) const {
    const auto [kind, index, rank] = id;
    const auto r = static_cast<std::size_t>(rank);
    return kind == 'h' ? durations_.hop_slowdown[r] : durations_.exchange_slowdown[index][r];
  }

  double FactorOf(const Id& id, const std::set<Id>& running) const {
    const auto [kind, index, rank] = id;
    const bool traffic = kind == 'x' || kind == 'h';
    if (kind != 'a' && !traffic) return 1;
    const std::vector<int> mine = traffic ? layer_.RanksOf(id) : std::vector{rank};
    double factor = 1;
    for (const Id& other : running) {
      const auto [other_kind, other_index, other_rank] = other;
      if (traffic && other_kind == 'a' &&
          std::find(mine.begin(), mine.end(), other_rank) != mine.end()) {
        factor = SlowdownOf(id).exchange;
      }
      if (!traffic && (other_kind == 'x' || other_kind == 'h')) {
        const std::vector<int> theirs = layer_.RanksOf(other);
        if (std::find(theirs.begin(), theirs.end(), rank) == theirs.end()) continue;
        factor = std::max(factor, SlowdownOf(other).attention);
      }
    }
    return factor;
  }

  const LayerDurations& durations_;
  LayerEvents layer_;
  std::map<Id, double> left_;
  std::set<Id> done_;
};

OverlapSlowdown RandomSlowdown(std::mt19937_64& random) {
  return {1 + Draw(random, 0, 20) / 10.0, 1 + Draw(random, 0, 20) / 10.0};
}

double RandomNs(std::mt19937_64& random) { return Draw(random, 0, 3) * Draw(random, 0, 5000); }

TEST(OverlapSlowdownTest, AgreesWithASimulationThatRecomputesAllRatesAtEveryEvent) {
  std::mt19937_64 random(31);
  int slowed = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const LayerVolumes work = OverlappingLayer(random);
    LayerDurations durations = Shaped(work, [&] { return RandomNs(random); });
    const std::int64_t alone = Simulate(work, durations, RingSync::kNeighbour).makespan_ns;
    SlowDown(
        work, [&] { return RandomSlowdown(random); }, durations);
    const std::int64_t total = Simulate(work, durations, RingSync::kNeighbour).makespan_ns;
    ASSERT_NEAR(static_cast<double>(total), FullSimulation(work, durations).Makespan(), 1);
    slowed += total > alone ? 1 : 0;
  }
  EXPECT_GT(slowed, 100) << "most layers must overlap";
}

TEST(OverlapSlowdownTest, WithoutSlowdownsTheTimelineIsTheSameToTheLastBit) {
  std::mt19937_64 random(32);
  for (int trial = 0; trial < 500; ++trial) {
    SCOPED_TRACE(trial);
    const LayerVolumes work = WorkOf(MakeRandomCase(random));
    // Fractions, so that another order of additions would show.
    LayerDurations durations = Shaped(work, [&] { return RandomNs(random) / 7.0; });
    for (const RingSync sync : {RingSync::kNeighbour, RingSync::kBarrier}) {
      LayerDurations ones = durations;
      SlowDown(
          work, [] { return OverlapSlowdown{}; }, ones);
      ASSERT_EQ(Simulate(work, ones, sync), Simulate(work, durations, sync));
    }
  }
}

TEST(OverlapSlowdownTest, IsBetweenNeverSlowedAndAlwaysSlowed) {
  std::mt19937_64 random(33);
  for (int trial = 0; trial < 500; ++trial) {
    SCOPED_TRACE(trial);
    const LayerVolumes work = OverlappingLayer(random);
    LayerDurations durations = Shaped(work, [&] { return RandomNs(random); });
    const OverlapSlowdown slowdown = RandomSlowdown(random);
    LayerDurations always = durations;
    for (auto& step : always.attention) {
      for (double& ns : step) ns *= slowdown.attention;
    }
    for (auto* grid : {&always.exchange, &always.hop}) {
      for (auto& row : *grid) {
        for (double& ns : row) ns *= slowdown.exchange;
      }
    }
    const auto low = Simulate(work, durations, RingSync::kNeighbour).makespan_ns;
    const auto high = Simulate(work, always, RingSync::kNeighbour).makespan_ns;
    SlowDown(
        work, [&] { return slowdown; }, durations);
    const Timeline timeline = Simulate(work, durations, RingSync::kNeighbour);
    ASSERT_GE(timeline.makespan_ns, low);
    ASSERT_LE(timeline.makespan_ns, high + 1);
  }
}

/// Two ranks, two chunks: exchanges of 10 under attention of 20 on both.
LayerVolumes TwoChunks() {
  LayerVolumes work;
  work.ranks = 2;
  work.chunks = work.steps = 2;
  work.rounds_before = 2;
  work.ring_next.assign(2, -1);
  TrafficMatrix traffic;
  traffic.ranks = 2;
  traffic.bytes.assign(4, 100);
  work.rounds.assign(4, traffic);
  work.component.assign(4, {0, 0});
  return work;
}

TEST(OverlapSlowdownTest, BothAdvanceAtReducedRatesWhileTheyOverlap) {
  const LayerVolumes work = TwoChunks();
  LayerDurations durations;
  durations.pack.assign(4, {0, 0});
  durations.unpack = durations.pack;
  durations.exchange.assign(4, {10, 10});
  durations.attention.assign(2, {20, 20});
  durations.merge.assign(2, {0, 0});
  durations.hop.assign(1, {0, 0});
  EXPECT_EQ(Simulate(work, durations, RingSync::kNeighbour).makespan_ns, 60);
  durations.exchange_slowdown.assign(4, {{1.25, 2}, {1.25, 2}});
  // Chunk 0 arrives at 10. Chunk 1 is sent from 10 and takes 20. In that time attention completes
  // 16 of its 20, so it ends at 34. O of chunk 0 is sent from 34 to 54. Attention of chunk 1, of
  // which 16 are done by then, ends at 58, and its O arrives at 68.
  const Timeline timeline = Simulate(work, durations, RingSync::kNeighbour);
  EXPECT_EQ(timeline.makespan_ns, 68);
  for (const Segment& segment : timeline.segments) {
    if (segment.kind == SegmentKind::kAttention) {
      EXPECT_EQ(segment.duration_ns, 24);
    }
    if (segment.kind == SegmentKind::kExchange) {
      EXPECT_EQ(segment.duration_ns, segment.index == 0 || segment.index == 3 ? 10 : 20);
    }
  }
}

/// If all exchanges are slowed equally and attention ends every phase, a larger slowdown takes more
/// time.
TEST(OverlapSlowdownTest, LargerSlowdownsMakeEvenChunksTakeLonger) {
  std::mt19937_64 random(34);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const LayerVolumes work = TwoChunks();
    LayerDurations durations;
    const double copy = Draw(random, 0, 50);
    durations.pack.assign(4, {copy, copy});
    durations.unpack = durations.pack;
    const double exchange = Draw(random, 0, 900);
    const double attention = Draw(random, 0, 900);
    durations.exchange.assign(4, {exchange, exchange});
    durations.attention.assign(2, {attention, attention});
    durations.merge.assign(2, {0, 0});
    durations.hop.assign(1, {0, 0});
    std::int64_t before = Simulate(work, durations, RingSync::kNeighbour).makespan_ns;
    OverlapSlowdown slowdown;
    for (int more = 0; more < 6; ++more) {
      // Overlapped never slower than one after the other: 1 / attention + 1 / exchange >= 1.
      (Draw(random, 0, 1) == 0 ? slowdown.attention : slowdown.exchange) += 0.1;
      durations.exchange_slowdown.assign(4, {slowdown, slowdown});
      const std::int64_t now = Simulate(work, durations, RingSync::kNeighbour).makespan_ns;
      ASSERT_GE(now, before) << slowdown.attention << " " << slowdown.exchange;
      before = now;
    }
  }
}

/// It may save time: a delayed segment may avoid an overlap that slowed it before
/// (docs/design/0016).
TEST(OverlapSlowdownTest, LargerSlowdownsSeldomSaveTimeAndNeverMuch) {
  std::mt19937_64 random(37);
  int steps = 0;
  int drops = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const LayerVolumes work = OverlappingLayer(random);
    const LayerDurations alone = Shaped(work, [&] { return RandomNs(random); });
    auto before = static_cast<double>(Simulate(work, alone, RingSync::kNeighbour).makespan_ns);
    OverlapSlowdown slowdown;
    for (int more = 0; more < 10; ++more) {
      (Draw(random, 0, 1) == 0 ? slowdown.attention : slowdown.exchange) += 0.1;
      LayerDurations durations = alone;
      SlowDown(
          work, [&] { return slowdown; }, durations);
      const auto now =
          static_cast<double>(Simulate(work, durations, RingSync::kNeighbour).makespan_ns);
      ASSERT_GE(now, 0.95 * before - 1);
      ++steps;
      drops += now < before - 1 ? 1 : 0;
      before = now;
    }
  }
  EXPECT_LE(drops, steps / 50);
}

TEST(OverlapSlowdownTest, SlowdownsOfAnotherShapeOrOutOfRangeAreRefused) {
  std::mt19937_64 random(35);
  const LayerVolumes work = OverlappingLayer(random);
  const LayerDurations good = Shaped(work, [] { return 1.0; });
  for (const double bad : {0.5, 0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    LayerDurations durations = good;
    SlowDown(
        work,
        [&] {
          return OverlapSlowdown{1, bad};
        },
        durations);
    EXPECT_THROW((void)Simulate(work, durations, RingSync::kNeighbour), Error);
  }
  LayerDurations durations = good;
  SlowDown(
      work,
      [] {
        return OverlapSlowdown{2, 2};
      },
      durations);
  durations.exchange_slowdown.pop_back();
  EXPECT_THROW((void)Simulate(work, durations, RingSync::kNeighbour), Error);
  durations = good;
  durations.hop_slowdown.resize(static_cast<std::size_t>(work.ranks) + 1);
  EXPECT_THROW((void)Simulate(work, durations, RingSync::kNeighbour), Error);
}

/// Slowdowns that depend on the kind of traffic and on the number of ranks.
class SlowCosts : public FakeCosts {
 public:
  [[nodiscard]] OverlapSlowdownEstimate Slowdown(Traffic traffic, int ranks) const override {
    const double extra = (traffic == Traffic::kHop ? 0.1 : 0.2) * ranks;
    return {{1 + extra, 1, 1 + 2 * extra}, {1 + 2 * extra, 1 + extra, 1 + 4 * extra}};
  }
};

TEST(OverlapSlowdownTest, PricesDependOnTheTrafficAndTheConnectedRanks) {
  std::mt19937_64 random(36);
  int slowed = 0;
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(trial);
    const RandomCase made = MakeRandomCase(random);
    const LayerVolumes work = WorkOf(made);
    const LayerDurations d = PriceLayer(work, SlowCosts(), Bound::kHigh);
    const bool chunked = work.chunks > 1 && work.ranks > 1;
    ASSERT_TRUE(d.exchange_slowdown.empty() || chunked);
    for (std::size_t round = 0; round < d.exchange_slowdown.size(); ++round) {
      for (std::size_t r = 0; r < d.exchange_slowdown[round].size(); ++r) {
        const auto& component = work.component[round];
        const auto members = std::count(component.begin(), component.end(), component[r]);
        const double extra = members > 1 ? 0.2 * static_cast<double>(members) : 0;
        EXPECT_DOUBLE_EQ(d.exchange_slowdown[round][r].attention, 1 + 2 * extra);
        EXPECT_DOUBLE_EQ(d.exchange_slowdown[round][r].exchange, 1 + 4 * extra);
      }
    }
    ASSERT_TRUE(d.hop_slowdown.empty() || work.steps > 1);
    for (std::size_t r = 0; r < d.hop_slowdown.size(); ++r) {
      if (work.ring_next[r] >= 0) {
        EXPECT_DOUBLE_EQ(d.hop_slowdown[r].attention, 1 + 0.2 * work.steps);
      }
    }
    const Prediction slow = Predict(work, made.layer.shape, DType::kF32, SlowCosts());
    const Prediction free = Predict(work, made.layer.shape, DType::kF32, FakeCosts());
    EXPECT_EQ(slow.lower_bound_ns, free.lower_bound_ns);
    EXPECT_GE(slow.total_ns, free.total_ns);
    EXPECT_GE(slow.total_ns, slow.lower_bound_ns);
    EXPECT_GE(slow.low_ns, free.low_ns);
    EXPECT_GE(slow.high_ns, free.high_ns);
    EXPECT_LE(slow.low_ns, slow.total_ns);
    EXPECT_LE(slow.total_ns, slow.high_ns);
    EXPECT_EQ(slow.compute_ns + slow.exchange_ns, slow.total_ns);
    if (!chunked && work.steps == 1) {
      EXPECT_EQ(slow.segments, free.segments);
    }
    // A prediction stores the time of a segment without overlap only if the overlap slows it.
    std::map<std::tuple<int, SegmentKind, int>, std::int64_t> alone;
    for (const Segment& s : free.segments) {
      EXPECT_FALSE(s.alone_ns);
      alone[{s.rank, s.kind, s.index}] = s.duration_ns;
    }
    for (const Segment& s : slow.segments) {
      if (s.kind != SegmentKind::kAttention) {
        EXPECT_FALSE(s.alone_ns);
        continue;
      }
      const std::int64_t own = alone.at({s.rank, s.kind, s.index});
      EXPECT_NEAR(static_cast<double>(s.alone_ns.value_or(s.duration_ns)),
                  static_cast<double>(own),
                  2);  // starts and ends are rounded, and a nanosecond more is not told
      slowed += s.alone_ns ? 1 : 0;
    }
  }
  EXPECT_GT(slowed, 100);
}

}  // namespace
}  // namespace dbsp::planner
