// SPDX-License-Identifier: Apache-2.0
#include "replay/rank_driver.h"

#include <algorithm>
#include <limits>

namespace dbsp::replay {
namespace {

void RunChunks(const Cell& cell, RankDriver& driver) {
  const int chunks = cell.schedule.steps;
  const auto start = [&](int round) {
    driver.Pack(round);
    driver.StartExchange(round);
  };
  const auto finish = [&](int round) {
    driver.FinishExchange(round);
    driver.Unpack(round);
  };
  start(0);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) start(chunk + 1);
    finish(chunk);
    driver.Attend(chunk);
    start(chunks + chunk);
  }
  for (int chunk = 0; chunk < chunks; ++chunk) finish(chunks + chunk);
}

void RunRounds(int begin, int end, RankDriver& driver) {
  for (int round = begin; round < end; ++round) {
    driver.Pack(round);
    driver.StartExchange(round);
    driver.FinishExchange(round);
    driver.Unpack(round);
  }
}

/// Moves the start of a segment to `ready` when that is later. The end does not change.
void TrimWait(Segment& segment, std::int64_t ready) {
  const std::int64_t end = segment.start_ns + segment.duration_ns;
  segment.start_ns = std::clamp(ready, segment.start_ns, end);
  segment.duration_ns = end - segment.start_ns;
}

bool IdleIn(const planner::TrafficMatrix& round, int rank) {
  return round.Packed(rank) == 0 && round.Unpacked(rank) == 0;
}

}  // namespace

void DriveRank(const Cell& cell, bool in_ring, RankDriver& driver) {
  if (cell.chunked()) return RunChunks(cell, driver);
  RunRounds(0, cell.rounds_before(), driver);
  for (int step = 0; step < cell.schedule.steps; ++step) {
    const bool hop = in_ring && step + 1 < cell.schedule.steps;
    if (hop) driver.StartHop(step);
    driver.Attend(step);
    if (step > 0) driver.Merge(step);
    if (hop) driver.FinishHop(step);
  }
  RunRounds(cell.rounds_before(), cell.rounds(), driver);
}

Timeline Compose(const Cell& cell, std::span<const RankTrace> traces, bool one_clock) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const RankTrace& trace : traces) first = std::min(first, trace.start_ns);
  const auto zero = [&](const RankTrace& trace) { return one_clock ? first : trace.start_ns; };
  std::vector<std::int64_t> arrived(cell.rounds(), std::numeric_limits<std::int64_t>::min());
  for (const RankTrace& trace : traces) {
    for (const Segment& segment : trace.segments) {
      if (segment.kind != SegmentKind::kExchange) continue;
      std::int64_t& last = arrived[segment.index];
      last = std::max(last, segment.start_ns - zero(trace));
    }
  }
  Timeline timeline;
  for (std::size_t r = 0; r < traces.size(); ++r) {
    for (Segment segment : traces[r].segments) {
      const auto index = static_cast<std::size_t>(segment.index);
      segment.start_ns -= zero(traces[r]);
      if (segment.kind == SegmentKind::kExchange) {
        if (IdleIn(cell.volumes.rounds[index], static_cast<int>(r))) continue;
        TrimWait(segment, arrived[index]);
      }
      if (segment.kind == SegmentKind::kHop) {
        const auto src = static_cast<std::size_t>(cell.schedule.rank[r].ring_next);
        TrimWait(segment, traces[src].hop_posted_ns[index] - zero(traces[src]));
      }
      timeline.makespan_ns = std::max(timeline.makespan_ns, segment.start_ns + segment.duration_ns);
      timeline.segments.push_back(segment);
    }
  }
  return timeline;
}

}  // namespace dbsp::replay
