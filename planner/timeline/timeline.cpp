// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/timeline.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "planner/timeline/rate_aware_simulator.h"

namespace dbsp::planner {
namespace {

void CheckGrid(const std::vector<std::vector<double>>& grid,
               const char* name,
               std::size_t count,
               int ranks) {
  if (grid.size() != count) {
    Fail(ErrorCode::kInvalidArgument,
         "durations: {} has {} entries, expected {}",
         name,
         grid.size(),
         count);
  }
  for (const std::vector<double>& row : grid) {
    if (row.size() != static_cast<std::size_t>(ranks)) {
      Fail(ErrorCode::kInvalidArgument,
           "durations: {} has {} ranks, expected {}",
           name,
           row.size(),
           ranks);
    }
    for (const double value : row) {
      if (!std::isfinite(value) || value < 0) {
        Fail(ErrorCode::kInvalidArgument,
             "durations: {} holds {}, expected finite and >= 0",
             name,
             value);
      }
    }
  }
}

/// Rings in the order of their lowest ranks. A rank without a ring is a ring of its own.
std::vector<std::vector<int>> RingsOf(const LayerVolumes& work) {
  std::vector<std::vector<int>> rings;
  std::vector<bool> seen(work.ranks, false);
  for (int r = 0; r < work.ranks; ++r) {
    if (seen[r]) continue;
    rings.push_back(work.RingOf(r));
    for (const int rank : rings.back()) seen[rank] = true;
  }
  return rings;
}

/// Times of a layer without slowdowns. The end of a segment is known as soon as its start is.
template <bool kSegments>
class FixedTimeSimulator {
 public:
  using EventId = double;
  static constexpr EventId kStart = 0;

  FixedTimeSimulator(int /*ranks*/, std::size_t /*rounds*/, std::size_t /*steps*/) {}

  static EventId Max(EventId a, EventId b) { return std::max(a, b); }
  EventId Run(const Segment& segment, double duration, EventId start) {
    const EventId end = start + duration;
    if (!kSegments || (duration == 0 && segment.bytes == 0)) return end;  // idle: no segment
    const std::int64_t begin = std::llround(start);
    timeline_.segments.push_back({segment.rank,
                                  segment.kind,
                                  segment.index,
                                  begin,
                                  std::llround(end) - begin,
                                  segment.bytes});
    return end;
  }
  EventId Exchange(const Segment& segment,
                   double duration,
                   EventId start,
                   const OverlapSlowdown&,
                   int /*component*/) {
    return Run(segment, duration, start);
  }
  EventId Hop(const Segment& segment,
              double duration,
              EventId start,
              const OverlapSlowdown&,
              int /*sender*/) {
    return Run(segment, duration, start);
  }
  void NextRound() {}

  Timeline Finish(const std::vector<EventId>& device, const std::vector<EventId>& link) {
    for (std::size_t r = 0; r < device.size(); ++r) {
      timeline_.makespan_ns =
          std::max<std::int64_t>(timeline_.makespan_ns, std::llround(std::max(device[r], link[r])));
    }
    return std::move(timeline_);
  }

 private:
  Timeline timeline_;
};

/// Declares the segments of a layer and their dependencies to a clock, which computes the times.
template <typename Clock>
class Simulator {
 public:
  using EventId = typename Clock::EventId;

  Simulator(const LayerVolumes& work, const LayerDurations& durations)
      : work_(work),
        durations_(durations),
        ranks_(static_cast<std::size_t>(work.ranks)),
        clock_(work.ranks, work.rounds.size(), static_cast<std::size_t>(work.steps)),
        device_(ranks_, Clock::kStart),
        link_(ranks_, Clock::kStart) {}

  Timeline Run(RingSync sync) {
    if (work_.chunks > 1) {
      Pipeline();
      return Finish();
    }
    const auto before = static_cast<std::size_t>(work_.rounds_before);
    for (std::size_t round = 0; round < before; ++round) Round(round);
    if (sync == RingSync::kNeighbour) {
      NeighbourRing();
    } else {
      BarrierRing();
    }
    for (std::size_t round = before; round < work_.rounds.size(); ++round) Round(round);
    return Finish();
  }

 private:
  Timeline Finish() { return clock_.Finish(device_, link_); }

  static Segment Of(std::size_t rank, SegmentKind kind, std::size_t index, std::int64_t bytes) {
    return {.rank = static_cast<int>(rank),
            .kind = kind,
            .index = static_cast<int>(index),
            .bytes = bytes};
  }

  /// pack -> exchange -> unpack. A component's exchange starts when its last rank has packed.
  void Round(std::size_t round) { Unpack(round, PackAndSend(round)); }

  /// Packs on the devices, then exchanges on the links. Returns the end of each rank's exchange.
  std::vector<EventId> PackAndSend(std::size_t round) {
    const TrafficMatrix& traffic = work_.rounds[round];
    const std::vector<int>& component = work_.component[round];
    std::vector<EventId> ready(ranks_, Clock::kStart);  // per component number
    for (std::size_t r = 0; r < ranks_; ++r) {
      device_[r] = clock_.Run(Of(r, SegmentKind::kPack, round, traffic.Packed(static_cast<int>(r))),
                              durations_.pack[round][r],
                              device_[r]);
      EventId& start = ready[component[r]];
      start = clock_.Max(clock_.Max(start, device_[r]), link_[r]);
    }
    clock_.NextRound();
    const auto& slowdowns = durations_.exchange_slowdown;
    for (std::size_t r = 0; r < ranks_; ++r) {
      link_[r] =
          clock_.Exchange(Of(r, SegmentKind::kExchange, round, traffic.Sent(static_cast<int>(r))),
                          durations_.exchange[round][r],
                          ready[component[r]],
                          slowdowns.empty() ? OverlapSlowdown{} : slowdowns[round][r],
                          component[r]);
    }
    return link_;
  }

  void Unpack(std::size_t round, const std::vector<EventId>& received) {
    const TrafficMatrix& traffic = work_.rounds[round];
    for (std::size_t r = 0; r < ranks_; ++r) {
      device_[r] =
          clock_.Run(Of(r, SegmentKind::kUnpack, round, traffic.Unpacked(static_cast<int>(r))),
                     durations_.unpack[round][r],
                     clock_.Max(device_[r], received[r]));
    }
  }

  /// For each chunk: packs and sends the next chunk, unpacks and computes this one, packs and sends
  /// its O. O is unpacked at the end, so that it overlaps the last exchange.
  void Pipeline() {
    const auto chunks = static_cast<std::size_t>(work_.chunks);
    std::vector<std::vector<EventId>> received{PackAndSend(0)};
    std::vector<std::vector<EventId>> home;
    for (std::size_t c = 0; c < chunks; ++c) {
      if (c + 1 < chunks) received.push_back(PackAndSend(c + 1));
      Unpack(c, received[c]);
      for (std::size_t r = 0; r < ranks_; ++r) (void)Compute(r, c, device_[r]);
      home.push_back(PackAndSend(chunks + c));
    }
    for (std::size_t c = 0; c < chunks; ++c) Unpack(chunks + c, home[c]);
  }

  /// Attention and merge of one step on one rank, not before `start`. Returns the end of attention.
  EventId Compute(std::size_t r, std::size_t t, EventId start) {
    const EventId end =
        clock_.Run(Of(r, SegmentKind::kAttention, t, 0), durations_.attention[t][r], start);
    device_[r] = clock_.Run(Of(r, SegmentKind::kMerge, t, 0), durations_.merge[t][r], end);
    return end;
  }

  /// The hop of step `t` to rank `r` from the next rank of its ring.
  EventId Hop(std::size_t r, std::size_t t, EventId start) {
    const auto& slowdowns = durations_.hop_slowdown;
    return clock_.Hop(Of(r, SegmentKind::kHop, t, work_.hop_bytes[t][r]),
                      durations_.hop[t][r],
                      start,
                      slowdowns.empty() ? OverlapSlowdown{} : slowdowns[r],
                      work_.ring_next[r]);
  }

  void NeighbourRing() {
    const auto steps = static_cast<std::size_t>(work_.steps);
    std::vector<EventId> have = device_;  // [rank] arrival of the K/V of this step
    std::vector<EventId> spare = device_;  // [rank] release of the buffer of the previous step
    for (std::size_t t = 0; t < steps; ++t) {
      std::vector<EventId> arrived = have;
      std::vector<EventId> link = link_;
      for (std::size_t r = 0; t + 1 < steps && r < ranks_; ++r) {
        if (work_.ring_next[r] < 0) continue;
        const auto sender = static_cast<std::size_t>(work_.ring_next[r]);
        const EventId start =
            clock_.Max(clock_.Max(have[sender], spare[r]), clock_.Max(link_[sender], link_[r]));
        arrived[r] = Hop(r, t, start);
        link[r] = clock_.Max(link[r], arrived[r]);
        link[sender] = clock_.Max(link[sender], arrived[r]);
      }
      for (std::size_t r = 0; r < ranks_; ++r) {
        spare[r] = Compute(r, t, clock_.Max(device_[r], have[r]));
      }
      have = arrived;
      link_ = link;
    }
  }

  void BarrierRing() {
    const auto steps = static_cast<std::size_t>(work_.steps);
    for (const std::vector<int>& ring : RingsOf(work_)) {
      EventId now = Clock::kStart;
      for (const int r : ring) {
        const auto rank = static_cast<std::size_t>(r);
        now = clock_.Max(clock_.Max(now, device_[rank]), link_[rank]);
      }
      for (std::size_t t = 0; t < steps; ++t) {
        EventId end = now;
        for (const int r : ring) {
          const auto rank = static_cast<std::size_t>(r);
          if (t + 1 < steps && work_.ring_next[rank] >= 0) {
            end = clock_.Max(end, Hop(rank, t, now));
          }
          Compute(rank, t, now);
          end = clock_.Max(end, device_[rank]);
        }
        now = end;
      }
      for (const int r : ring) {
        device_[r] = now;
        link_[r] = now;
      }
    }
  }

  const LayerVolumes& work_;
  const LayerDurations& durations_;
  std::size_t ranks_;
  Clock clock_;
  std::vector<EventId> device_;  // [rank] end of the last segment on its device
  std::vector<EventId> link_;  // [rank] end of the last segment on its link
};

void CheckSlowdowns(const std::vector<OverlapSlowdown>& slowdowns, int ranks) {
  if (!slowdowns.empty() && slowdowns.size() != static_cast<std::size_t>(ranks)) {
    Fail(ErrorCode::kInvalidArgument,
         "durations: slowdowns of {} ranks, expected {}",
         slowdowns.size(),
         ranks);
  }
  for (const OverlapSlowdown& slowdown : slowdowns) {
    for (const double factor : {slowdown.attention, slowdown.exchange}) {
      if (std::isfinite(factor) && factor >= 1) continue;
      Fail(ErrorCode::kInvalidArgument,
           "durations: a slowdown of {}, expected finite and at least 1",
           factor);
    }
  }
}

}  // namespace

namespace {

void CheckDurations(const LayerVolumes& work, const LayerDurations& durations) {
  const auto steps = static_cast<std::size_t>(work.steps);
  CheckGrid(durations.pack, "pack", work.rounds.size(), work.ranks);
  CheckGrid(durations.exchange, "exchange", work.rounds.size(), work.ranks);
  CheckGrid(durations.unpack, "unpack", work.rounds.size(), work.ranks);
  CheckGrid(durations.attention, "attention", steps, work.ranks);
  CheckGrid(durations.merge, "merge", steps, work.ranks);
  CheckGrid(durations.hop, "hop", steps - 1, work.ranks);
  CheckSlowdowns(durations.hop_slowdown, work.ranks);
  const auto& exchange_slowdown = durations.exchange_slowdown;
  if (!exchange_slowdown.empty() && exchange_slowdown.size() != work.rounds.size()) {
    Fail(ErrorCode::kInvalidArgument,
         "durations: slowdowns of {} rounds, expected {}",
         exchange_slowdown.size(),
         work.rounds.size());
  }
  for (const auto& round : exchange_slowdown) CheckSlowdowns(round, work.ranks);
}

bool AnySlowdown(const LayerDurations& durations) {
  return !durations.hop_slowdown.empty() || !durations.exchange_slowdown.empty();
}

}  // namespace

Timeline Simulate(const LayerVolumes& work, const LayerDurations& durations, RingSync sync) {
  CheckDurations(work, durations);
  Timeline timeline = AnySlowdown(durations)
                          ? Simulator<RateAwareSimulator>(work, durations).Run(sync)
                          : Simulator<FixedTimeSimulator<true>>(work, durations).Run(sync);
  std::stable_sort(
      timeline.segments.begin(), timeline.segments.end(), [](const Segment& a, const Segment& b) {
        return a.rank != b.rank ? a.rank < b.rank : a.start_ns < b.start_ns;
      });
  return timeline;
}

std::int64_t Makespan(const LayerVolumes& work, const LayerDurations& durations, RingSync sync) {
  CheckDurations(work, durations);
  return AnySlowdown(durations)
             ? Simulator<RateAwareSimulator>(work, durations).Run(sync).makespan_ns
             : Simulator<FixedTimeSimulator<false>>(work, durations).Run(sync).makespan_ns;
}

}  // namespace dbsp::planner
