// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

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

/// Ranks of each ring, in ring order; a rank without a ring stands alone.
std::vector<std::vector<int>> RingsOf(const LayerWork& work) {
  std::vector<std::vector<int>> rings;
  std::vector<bool> seen(static_cast<std::size_t>(work.ranks), false);
  for (int r = 0; r < work.ranks; ++r) {
    if (seen[static_cast<std::size_t>(r)]) continue;
    rings.emplace_back();
    for (int at = r; at >= 0 && !seen[static_cast<std::size_t>(at)];
         at = work.ring_next[static_cast<std::size_t>(at)]) {
      seen[static_cast<std::size_t>(at)] = true;
      rings.back().push_back(at);
    }
  }
  return rings;
}

class Simulator {
 public:
  Simulator(const LayerWork& work, const LayerDurations& durations)
      : work_(work),
        durations_(durations),
        ranks_(static_cast<std::size_t>(work.ranks)),
        device_(ranks_, 0.0),
        link_(ranks_, 0.0) {}

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
  Timeline Finish() {
    std::stable_sort(timeline_.segments.begin(),
                     timeline_.segments.end(),
                     [](const Segment& a, const Segment& b) {
                       return a.rank != b.rank ? a.rank < b.rank : a.start_ns < b.start_ns;
                     });
    for (std::size_t r = 0; r < ranks_; ++r) {
      timeline_.makespan_ns = std::max<std::int64_t>(timeline_.makespan_ns,
                                                     std::llround(std::max(device_[r], link_[r])));
    }
    return std::move(timeline_);
  }

  void Emit(std::size_t rank,
            SegmentKind kind,
            std::size_t index,
            double start,
            double duration,
            std::int64_t bytes) {
    if (duration == 0 && bytes == 0) return;  // nothing happens: idle steps are no segments
    const std::int64_t begin = std::llround(start);
    timeline_.segments.push_back({static_cast<int>(rank),
                                  kind,
                                  static_cast<int>(index),
                                  begin,
                                  std::llround(start + duration) - begin,
                                  bytes});
  }

  /// pack -> exchange -> unpack; a component's exchange starts when its last rank has packed.
  void Round(std::size_t round) { Unpack(round, PackAndSend(round)); }

  /// Packs on the devices, then the exchange on the links. Returns when each rank has received.
  std::vector<double> PackAndSend(std::size_t round) {
    const TrafficMatrix& traffic = work_.rounds[round];
    const std::vector<int>& component = work_.component[round];
    std::vector<double> ready(ranks_, 0.0);  // per component number
    for (std::size_t r = 0; r < ranks_; ++r) {
      const double duration = durations_.pack[round][r];
      Emit(r, SegmentKind::kPack, round, device_[r], duration, traffic.Packed(static_cast<int>(r)));
      device_[r] += duration;
      double& start = ready[static_cast<std::size_t>(component[r])];
      start = std::max({start, device_[r], link_[r]});
    }
    for (std::size_t r = 0; r < ranks_; ++r) {
      const double start = ready[static_cast<std::size_t>(component[r])];
      const double duration = durations_.exchange[round][r];
      Emit(r, SegmentKind::kExchange, round, start, duration, traffic.Sent(static_cast<int>(r)));
      link_[r] = start + duration;
    }
    return link_;
  }

  void Unpack(std::size_t round, const std::vector<double>& received) {
    const TrafficMatrix& traffic = work_.rounds[round];
    for (std::size_t r = 0; r < ranks_; ++r) {
      const double start = std::max(device_[r], received[r]);
      const double copy = durations_.unpack[round][r];
      Emit(r, SegmentKind::kUnpack, round, start, copy, traffic.Unpacked(static_cast<int>(r)));
      device_[r] = start + copy;
    }
  }

  /// Chunk by chunk: the next chunk is packed and sent, then this one is unpacked and computed and
  /// its O packed and sent. What comes home is unpacked at the end, under the last exchange.
  void Pipeline() {
    const auto chunks = static_cast<std::size_t>(work_.chunks);
    std::vector<std::vector<double>> received{PackAndSend(0)};
    std::vector<std::vector<double>> home;
    for (std::size_t c = 0; c < chunks; ++c) {
      if (c + 1 < chunks) received.push_back(PackAndSend(c + 1));
      Unpack(c, received[c]);
      for (std::size_t r = 0; r < ranks_; ++r) (void)Compute(r, c, device_[r]);
      home.push_back(PackAndSend(chunks + c));
    }
    for (std::size_t c = 0; c < chunks; ++c) Unpack(chunks + c, home[c]);
  }

  /// Attention and merge of one step on one rank, not before `start`. Returns attention's end.
  double Compute(std::size_t r, std::size_t t, double start) {
    const double attention = durations_.attention[t][r];
    const double merge = durations_.merge[t][r];
    const double end = start + attention;
    Emit(r, SegmentKind::kAttention, t, start, attention, 0);
    Emit(r, SegmentKind::kMerge, t, end, merge, 0);
    device_[r] = end + merge;
    return end;
  }

  void NeighbourRing() {
    const auto steps = static_cast<std::size_t>(work_.steps);
    std::vector<double> have = device_;  // when the K/V of this step are at hand
    std::vector<double> spare = device_;  // when the buffer of the step before is free
    for (std::size_t t = 0; t < steps; ++t) {
      std::vector<double> arrived = have;
      std::vector<double> link = link_;
      for (std::size_t r = 0; t + 1 < steps && r < ranks_; ++r) {
        if (work_.ring_next[r] < 0) continue;
        const auto sender = static_cast<std::size_t>(work_.ring_next[r]);
        const double start = std::max({have[sender], spare[r], link_[sender], link_[r]});
        const double duration = durations_.hop[t][r];
        Emit(r, SegmentKind::kHop, t, start, duration, work_.hop_bytes[t][r]);
        arrived[r] = start + duration;
        link[r] = std::max(link[r], arrived[r]);
        link[sender] = std::max(link[sender], arrived[r]);
      }
      for (std::size_t r = 0; r < ranks_; ++r) {
        spare[r] = Compute(r, t, std::max(device_[r], have[r]));
      }
      have = arrived;
      link_ = link;
    }
  }

  void BarrierRing() {
    const auto steps = static_cast<std::size_t>(work_.steps);
    for (const std::vector<int>& ring : RingsOf(work_)) {
      double now = 0;
      for (const int r : ring) {
        const auto rank = static_cast<std::size_t>(r);
        now = std::max({now, device_[rank], link_[rank]});
      }
      for (std::size_t t = 0; t < steps; ++t) {
        double end = now;
        for (const int r : ring) {
          const auto rank = static_cast<std::size_t>(r);
          if (t + 1 < steps && work_.ring_next[rank] >= 0) {
            const double hop = durations_.hop[t][rank];
            Emit(rank, SegmentKind::kHop, t, now, hop, work_.hop_bytes[t][rank]);
            end = std::max(end, now + hop);
          }
          Compute(rank, t, now);
          end = std::max(end, device_[rank]);
        }
        now = end;
      }
      for (const int r : ring) {
        device_[static_cast<std::size_t>(r)] = now;
        link_[static_cast<std::size_t>(r)] = now;
      }
    }
  }

  const LayerWork& work_;
  const LayerDurations& durations_;
  std::size_t ranks_;
  std::vector<double> device_;  // when the rank's device is free
  std::vector<double> link_;  // when its link is free
  Timeline timeline_;
};

}  // namespace

Timeline Simulate(const LayerWork& work, const LayerDurations& durations, RingSync sync) {
  const auto steps = static_cast<std::size_t>(work.steps);
  CheckGrid(durations.pack, "pack", work.rounds.size(), work.ranks);
  CheckGrid(durations.exchange, "exchange", work.rounds.size(), work.ranks);
  CheckGrid(durations.unpack, "unpack", work.rounds.size(), work.ranks);
  CheckGrid(durations.attention, "attention", steps, work.ranks);
  CheckGrid(durations.merge, "merge", steps, work.ranks);
  CheckGrid(durations.hop, "hop", steps - 1, work.ranks);
  return Simulator(work, durations).Run(sync);
}

}  // namespace dbsp::planner
