// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <limits>

#include "core/error.h"
#include "replay/exchange_queue.h"
#include "replay/transport.h"
#include "runtime/clock.h"
#include "runtime/communicator.h"

namespace dbsp::replay {
namespace {

/// What one rank saw in one run; absolute times.
struct RankLog {
  std::int64_t start_ns = 0;
  std::vector<Segment> segments;
  std::vector<std::int64_t> hop_posted_ns;  ///< [steps - 1] when the hop's send was offered
};

/// Drives one rank through one run.
class RankRun {
 public:
  RankRun(const Cell& cell,
          RankExecutor& rank,
          runtime::Communicator& communicator,
          const Observer& observer,
          RankLog& log)
      : cell_(cell), rank_(rank), communicator_(communicator), observer_(observer), log_(log) {}

  void Run() {
    rank_.Reset();
    if (cell_.chunked()) return RunChunks();
    communicator_.Barrier();
    log_.start_ns = runtime::SteadyNs();
    for (int round = 0; round < cell_.rounds_before(); ++round) Round(round);
    for (int step = 0; step < cell_.schedule.steps; ++step) Step(step);
    for (int round = cell_.rounds_before(); round < cell_.rounds(); ++round) Round(round);
  }

 private:
  /// A segment from `start` to now, unless `busy` says that there was nothing to do.
  void Add(SegmentKind kind, int index, std::int64_t start, std::int64_t bytes, bool busy) {
    if (!busy) return;
    log_.segments.push_back({.rank = rank_.rank(),
                             .kind = kind,
                             .index = index,
                             .start_ns = start,
                             .duration_ns = runtime::SteadyNs() - start,
                             .bytes = bytes});
  }

  /// The program that planner::Simulate times (Pipeline): exchanges run on a thread of their own.
  void RunChunks() {
    ExchangeQueue queue(communicator_);
    try {
      communicator_.Barrier();
      log_.start_ns = runtime::SteadyNs();
      const int chunks = cell_.schedule.steps;
      PackAndStart(0, queue);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        if (chunk + 1 < chunks) PackAndStart(chunk + 1, queue);
        WaitAndUnpack(chunk, queue);
        Attend(chunk);
        PackAndStart(chunks + chunk, queue);
      }
      for (int chunk = 0; chunk < chunks; ++chunk) WaitAndUnpack(chunks + chunk, queue);
    } catch (const std::exception& error) {
      communicator_.Abort(error.what());  // or the queue would wait for the others
      throw;
    }
    std::ranges::stable_sort(log_.segments, {}, &Segment::start_ns);
  }

  void PackAndStart(int round, ExchangeQueue& queue) {
    Pack(round);
    queue.Start(rank_.Buffers(round));
    started_.push_back(round);
  }

  void WaitAndUnpack(int round, ExchangeQueue& queue) {
    const auto index = std::ranges::find(started_, round) - started_.begin();
    const ExchangeTimes times = queue.Wait(static_cast<std::size_t>(index));
    log_.segments.push_back(
        {.rank = rank_.rank(),
         .kind = SegmentKind::kExchange,
         .index = round,
         .start_ns = times.start_ns,
         .duration_ns = times.duration_ns,
         .bytes = rank_.executed().sent_bytes[static_cast<std::size_t>(round)]});
    Unpack(round);
  }

  void Pack(int round) {
    const std::int64_t start = runtime::SteadyNs();
    rank_.Pack(round);
    const std::int64_t packed = rank_.executed().packed_bytes[static_cast<std::size_t>(round)];
    Add(SegmentKind::kPack, round, start, packed, packed > 0);
  }

  void Unpack(int round) {
    const std::int64_t start = runtime::SteadyNs();
    rank_.Unpack(round);
    const std::int64_t unpacked = rank_.executed().unpacked_bytes[static_cast<std::size_t>(round)];
    Add(SegmentKind::kUnpack, round, start, unpacked, unpacked > 0);
  }

  void Attend(int step) {
    if (observer_) observer_(rank_.rank(), step);
    const std::int64_t start = runtime::SteadyNs();
    rank_.Attend(step);
    Add(SegmentKind::kAttention, step, start, 0, rank_.has_rows(step));
  }

  void Round(int round) {
    Pack(round);
    const RoundBuffers buffers = rank_.Buffers(round);
    const std::int64_t start = runtime::SteadyNs();
    communicator_.AllToAllV(buffers.send,
                            buffers.send_counts,
                            buffers.send_offsets,
                            buffers.recv,
                            buffers.recv_counts,
                            buffers.recv_offsets);
    // Also when nothing moved: every rank takes part in the meeting, and its arrival counts.
    const std::int64_t sent = rank_.executed().sent_bytes[static_cast<std::size_t>(round)];
    Add(SegmentKind::kExchange, round, start, sent, true);
    Unpack(round);
  }

  void Step(int step) {
    const bool hop = rank_.in_ring() && step + 1 < cell_.schedule.steps;
    HopBuffers buffers;
    if (hop) {
      buffers = rank_.Hop(step);
      log_.hop_posted_ns.push_back(runtime::SteadyNs());
      communicator_.StartSendRecv(buffers.send,
                                  buffers.send_count,
                                  buffers.dst,
                                  buffers.recv,
                                  buffers.recv_count,
                                  buffers.src);
    }
    Attend(step);
    std::int64_t start = runtime::SteadyNs();
    if (step > 0) {
      rank_.Merge(step);
      const bool merged = rank_.executed().merged_rows[static_cast<std::size_t>(step)] > 0;
      Add(SegmentKind::kMerge, step, start, 0, merged);
    }
    if (!hop) return;
    start = runtime::SteadyNs();
    communicator_.WaitSendRecv();
    constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
    Add(SegmentKind::kHop, step, start, buffers.recv_count * kFloat, buffers.recv_count > 0);
    rank_.HopDone(step);
  }

  const Cell& cell_;
  RankExecutor& rank_;
  runtime::Communicator& communicator_;
  const Observer& observer_;
  RankLog& log_;
  std::vector<int> started_;  ///< rounds, in the order their exchanges were started
};

/// Moves the start of a segment to `ready` when it waited for that long, the end stays.
void TrimWait(Segment& segment, std::int64_t ready) {
  const std::int64_t end = segment.start_ns + segment.duration_ns;
  segment.start_ns = std::clamp(ready, segment.start_ns, end);
  segment.duration_ns = end - segment.start_ns;
}

bool IdleIn(const planner::TrafficMatrix& round, int rank) {
  return round.Packed(rank) == 0 && round.Unpacked(rank) == 0;
}

Timeline Compose(const Cell& cell, std::span<RankLog> logs) {
  std::vector<std::int64_t> arrived(static_cast<std::size_t>(cell.rounds()), 0);
  std::int64_t zero = std::numeric_limits<std::int64_t>::max();
  for (const RankLog& log : logs) {
    zero = std::min(zero, log.start_ns);
    for (const Segment& segment : log.segments) {
      if (segment.kind != SegmentKind::kExchange) continue;
      std::int64_t& last = arrived[static_cast<std::size_t>(segment.index)];
      last = std::max(last, segment.start_ns);
    }
  }
  Timeline timeline;
  for (std::size_t r = 0; r < logs.size(); ++r) {
    for (Segment segment : logs[r].segments) {
      const auto index = static_cast<std::size_t>(segment.index);
      if (segment.kind == SegmentKind::kExchange) {
        if (IdleIn(cell.work.rounds[index], static_cast<int>(r))) continue;
        TrimWait(segment, arrived[index]);
      }
      if (segment.kind == SegmentKind::kHop) {
        const int src = cell.schedule.rank[r].ring_next;
        TrimWait(segment, logs[static_cast<std::size_t>(src)].hop_posted_ns[index]);
      }
      segment.start_ns -= zero;
      timeline.makespan_ns = std::max(timeline.makespan_ns, segment.start_ns + segment.duration_ns);
      timeline.segments.push_back(segment);
    }
  }
  return timeline;
}

}  // namespace

std::vector<Timeline> RunThreads(const Cell& cell,
                                 std::span<RankExecutor> ranks,
                                 const Repeats& repeats,
                                 const Observer& observer) {
  const auto total = static_cast<std::size_t>(repeats.warmups + repeats.runs);
  std::vector<std::vector<RankLog>> logs(total, std::vector<RankLog>(ranks.size()));
  runtime::RunRanks(cell.ranks(), [&](runtime::Communicator& communicator) {
    const auto r = static_cast<std::size_t>(communicator.rank());
    try {
      ranks[r].Fill();
      for (std::size_t run = 0; run < total; ++run) {
        RankRun(cell, ranks[r], communicator, observer, logs[run][r]).Run();
      }
    } catch (const std::exception& error) {
      Fail(ErrorCode::kMeasurement, "rank {}: {}", r, error.what());
    }
  });
  std::vector<Timeline> timelines;
  for (std::size_t run = static_cast<std::size_t>(repeats.warmups); run < total; ++run) {
    timelines.push_back(Compose(cell, logs[run]));
  }
  return timelines;
}

std::size_t MedianRun(std::span<const Timeline> runs) {
  std::vector<std::size_t> order(runs.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return runs[a].makespan_ns < runs[b].makespan_ns;
  });
  return order[(order.size() - 1) / 2];
}

}  // namespace dbsp::replay
