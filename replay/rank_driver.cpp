// SPDX-License-Identifier: Apache-2.0
#include "replay/rank_driver.h"

#include <algorithm>
#include <limits>

namespace dbsp::replay {
namespace {

void RunChunks(const Cell& cell, RankDriver& rank) {
  const int chunks = cell.schedule.steps;
  const auto start = [&](int round) {
    rank.Pack(round);
    rank.StartExchange(round);
  };
  const auto finish = [&](int round) {
    rank.FinishExchange(round);
    rank.Unpack(round);
  };
  start(0);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (chunk + 1 < chunks) start(chunk + 1);
    finish(chunk);
    rank.Attend(chunk);
    start(chunks + chunk);
  }
  for (int chunk = 0; chunk < chunks; ++chunk) finish(chunks + chunk);
}

void RunRounds(int begin, int end, RankDriver& rank) {
  for (int round = begin; round < end; ++round) {
    rank.Pack(round);
    rank.StartExchange(round);
    rank.FinishExchange(round);
    rank.Unpack(round);
  }
}

/// Moves the start of a segment to `ready` when it waited for that long, the end stays.
void TrimWait(Segment& segment, std::int64_t ready) {
  const std::int64_t end = segment.start_ns + segment.duration_ns;
  segment.start_ns = std::clamp(ready, segment.start_ns, end);
  segment.duration_ns = end - segment.start_ns;
}

bool IdleIn(const planner::TrafficMatrix& round, int rank) {
  return round.Packed(rank) == 0 && round.Unpacked(rank) == 0;
}

}  // namespace

void RunSteps(const Cell& cell, bool in_ring, RankDriver& rank) {
  if (cell.chunked()) return RunChunks(cell, rank);
  RunRounds(0, cell.rounds_before(), rank);
  for (int step = 0; step < cell.schedule.steps; ++step) {
    const bool hop = in_ring && step + 1 < cell.schedule.steps;
    if (hop) rank.StartHop(step);
    rank.Attend(step);
    if (step > 0) rank.Merge(step);
    if (hop) rank.FinishHop(step);
  }
  RunRounds(cell.rounds_before(), cell.rounds(), rank);
}

Timeline Compose(const Cell& cell, std::span<const RankTrace> logs, bool one_clock) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const RankTrace& log : logs) first = std::min(first, log.start_ns);
  const auto zero = [&](const RankTrace& log) { return one_clock ? first : log.start_ns; };
  std::vector<std::int64_t> arrived(cell.rounds(), std::numeric_limits<std::int64_t>::min());
  for (const RankTrace& log : logs) {
    for (const Segment& segment : log.segments) {
      if (segment.kind != SegmentKind::kExchange) continue;
      std::int64_t& last = arrived[segment.index];
      last = std::max(last, segment.start_ns - zero(log));
    }
  }
  Timeline timeline;
  for (std::size_t r = 0; r < logs.size(); ++r) {
    for (Segment segment : logs[r].segments) {
      const auto index = static_cast<std::size_t>(segment.index);
      segment.start_ns -= zero(logs[r]);
      if (segment.kind == SegmentKind::kExchange) {
        if (IdleIn(cell.work.rounds[index], static_cast<int>(r))) continue;
        TrimWait(segment, arrived[index]);
      }
      if (segment.kind == SegmentKind::kHop) {
        const auto src = static_cast<std::size_t>(cell.schedule.rank[r].ring_next);
        TrimWait(segment, logs[src].hop_posted_ns[index] - zero(logs[src]));
      }
      timeline.makespan_ns = std::max(timeline.makespan_ns, segment.start_ns + segment.duration_ns);
      timeline.segments.push_back(segment);
    }
  }
  return timeline;
}

}  // namespace dbsp::replay
