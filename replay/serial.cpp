// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "planner/timeline.h"
#include "replay/transport.h"
#include "runtime/clock.h"

namespace dbsp::replay {
namespace {

using Grid2 = std::vector<std::vector<double>>;

Grid2 Zeros(int outer, int ranks) {
  return Grid2(static_cast<std::size_t>(outer),
               std::vector<double>(static_cast<std::size_t>(ranks), 0.0));
}

template <typename Body>
double TimeNs(const Body& body) {
  const std::int64_t start = runtime::ThreadNs();
  body();
  return static_cast<double>(runtime::ThreadNs() - start);
}

/// Exchange and hop durations that a plan predicted.
class PredictedTimes {
 public:
  explicit PredictedTimes(std::span<const Segment> segments) {
    for (const Segment& s : segments) times_[{s.rank, s.kind, s.index}] = s.duration_ns;
  }

  [[nodiscard]] std::optional<std::int64_t> Find(int rank, SegmentKind kind, int index) const {
    const auto found = times_.find({rank, kind, index});
    if (found == times_.end()) return std::nullopt;
    return found->second;
  }

 private:
  std::map<std::tuple<int, SegmentKind, int>, std::int64_t> times_;
};

[[noreturn]] void FailMissing(SegmentKind kind, int index, int rank, std::int64_t bytes) {
  Fail(ErrorCode::kMismatch,
       "the plan predicts no {} {} for rank {}, which moves {} bytes there; the serial transport "
       "takes exchange times from the plan: use --transport threads, or tune again",
       NameOf(kind),
       index,
       rank,
       bytes);
}

/// Ranks of one component wait for each other, so they share the longest predicted time.
void SetExchange(const Cell& cell,
                 const PredictedTimes& times,
                 int round,
                 std::vector<double>& out) {
  const auto at = static_cast<std::size_t>(round);
  const std::vector<int>& component = cell.work.component.at(at);
  std::map<int, std::optional<std::int64_t>> longest;
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto found = times.Find(rank, SegmentKind::kExchange, round);
    auto& known = longest[component.at(static_cast<std::size_t>(rank))];
    if (found) known = std::max(known.value_or(0), *found);
  }
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const auto known = longest[component[r]];
    const std::int64_t bytes = cell.work.rounds.at(at).Sent(rank);
    if (!known && bytes > 0) FailMissing(SegmentKind::kExchange, round, rank, bytes);
    out[r] = static_cast<double>(known.value_or(0));
  }
}

void SetHops(const Cell& cell, const PredictedTimes& times, int step, std::vector<double>& out) {
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const std::int64_t bytes = cell.work.hop_bytes.at(static_cast<std::size_t>(step)).at(r);
    const auto found = times.Find(rank, SegmentKind::kHop, step);
    if (!found && bytes > 0) FailMissing(SegmentKind::kHop, step, rank, bytes);
    out[r] = static_cast<double>(found.value_or(0));
  }
}

void RequireEqual(const char* what, int index, int src, int dst, std::int64_t a, std::int64_t b) {
  if (a == b) return;
  Fail(ErrorCode::kInternal,
       "{} {}: rank {} sends {} floats, but rank {} expects {}",
       what,
       index,
       src,
       a,
       dst,
       b);
}

void DeliverRound(std::span<RankExecutor> ranks, int round) {
  std::vector<RoundBuffers> all;
  for (RankExecutor& rank : ranks) all.push_back(rank.Buffers(round));
  for (std::size_t src = 0; src < ranks.size(); ++src) {
    for (std::size_t dst = 0; dst < ranks.size(); ++dst) {
      const std::int64_t count = all[src].send_counts[dst];
      RequireEqual("round",
                   round,
                   static_cast<int>(src),
                   static_cast<int>(dst),
                   count,
                   all[dst].recv_counts[src]);
      std::copy_n(all[src].send + all[src].send_offsets[dst],
                  count,
                  all[dst].recv + all[dst].recv_offsets[src]);
    }
  }
}

void DeliverHops(std::span<RankExecutor> ranks, int step) {
  for (RankExecutor& rank : ranks) {
    if (!rank.in_ring()) continue;
    const HopBuffers to = rank.Hop(step);
    const HopBuffers from = ranks[static_cast<std::size_t>(to.src)].Hop(step);
    RequireEqual("hop", step, to.src, rank.rank(), from.send_count, to.recv_count);
    std::copy_n(from.send, to.recv_count, to.recv);
  }
  for (RankExecutor& rank : ranks) {
    if (rank.in_ring()) rank.HopDone(step);
  }
}

/// One phase of every rank in turn, timed. `phase` returns whether there was anything to do; where
/// there was not, the cost of finding out is no segment.
template <typename Phase>
void ForRanks(std::span<RankExecutor> ranks, std::vector<double>& times, const Phase& phase) {
  for (RankExecutor& rank : ranks) {
    try {
      bool busy = false;
      const double ns = TimeNs([&] { busy = phase(rank); });
      times[static_cast<std::size_t>(rank.rank())] = busy ? ns : 0;
    } catch (const std::exception& error) {
      Fail(ErrorCode::kMeasurement, "rank {}: {}", rank.rank(), error.what());
    }
  }
}

void RunRounds(std::span<RankExecutor> ranks,
               int begin,
               int end,
               planner::LayerDurations& durations) {
  for (int round = begin; round < end; ++round) {
    const auto at = static_cast<std::size_t>(round);
    ForRanks(ranks, durations.pack[at], [&](RankExecutor& rank) {
      rank.Pack(round);
      return rank.executed().packed_bytes[at] > 0;
    });
    DeliverRound(ranks, round);
    ForRanks(ranks, durations.unpack[at], [&](RankExecutor& rank) {
      rank.Unpack(round);
      return rank.executed().unpacked_bytes[at] > 0;
    });
  }
}

/// Attention and merge of one step.
void RunStep(std::span<RankExecutor> ranks,
             int step,
             const Observer& observer,
             planner::LayerDurations& durations) {
  const auto at = static_cast<std::size_t>(step);
  std::vector<double> unused(ranks.size());
  if (observer) {
    ForRanks(ranks, unused, [&](RankExecutor& rank) {
      observer(rank.rank(), step);
      return false;
    });
  }
  ForRanks(ranks, durations.attention[at], [&](RankExecutor& rank) {
    rank.Attend(step);
    return rank.has_rows(step);
  });
  ForRanks(ranks, durations.merge[at], [&](RankExecutor& rank) {
    rank.Merge(step);
    return rank.executed().merged_rows[at] > 0;
  });
}

void RunOnce(const Cell& cell,
             std::span<RankExecutor> ranks,
             const Observer& observer,
             planner::LayerDurations& durations) {
  for (RankExecutor& rank : ranks) rank.Reset();
  if (cell.chunked()) {  // one after the other: Simulate overlaps them
    for (int chunk = 0; chunk < cell.schedule.steps; ++chunk) {
      RunRounds(ranks, chunk, chunk + 1, durations);
      RunStep(ranks, chunk, observer, durations);
      const int after = cell.rounds_before() + chunk;
      RunRounds(ranks, after, after + 1, durations);
    }
    return;
  }
  RunRounds(ranks, 0, cell.rounds_before(), durations);
  for (int step = 0; step < cell.schedule.steps; ++step) {
    RunStep(ranks, step, observer, durations);
    if (step + 1 < cell.schedule.steps) DeliverHops(ranks, step);
  }
  RunRounds(ranks, cell.rounds_before(), cell.rounds(), durations);
}

}  // namespace

planner::LayerDurations MedianDurations(const std::vector<planner::LayerDurations>& runs) {
  planner::LayerDurations result = runs.front();
  for (Grid2 planner::LayerDurations::*grid : {&planner::LayerDurations::pack,
                                               &planner::LayerDurations::exchange,
                                               &planner::LayerDurations::unpack,
                                               &planner::LayerDurations::attention,
                                               &planner::LayerDurations::merge,
                                               &planner::LayerDurations::hop}) {
    for (std::size_t i = 0; i < (result.*grid).size(); ++i) {
      for (std::size_t rank = 0; rank < (result.*grid)[i].size(); ++rank) {
        std::vector<double> values;
        for (const planner::LayerDurations& run : runs) values.push_back((run.*grid)[i][rank]);
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
        std::nth_element(values.begin(), middle, values.end());
        (result.*grid)[i][rank] = *middle;
      }
    }
  }
  return result;
}

Timeline RunSerial(const Cell& cell,
                   std::span<RankExecutor> ranks,
                   std::span<const Segment> predicted,
                   const Repeats& repeats,
                   const Observer& observer) {
  const PredictedTimes times(predicted);
  planner::LayerDurations durations;
  durations.pack = durations.exchange = durations.unpack = Zeros(cell.rounds(), cell.ranks());
  durations.attention = durations.merge = Zeros(cell.schedule.steps, cell.ranks());
  durations.hop = Zeros(cell.schedule.steps - 1, cell.ranks());
  for (int round = 0; round < cell.rounds(); ++round) {
    SetExchange(cell, times, round, durations.exchange[static_cast<std::size_t>(round)]);
  }
  for (int step = 0; step + 1 < cell.schedule.steps; ++step) {
    SetHops(cell, times, step, durations.hop[static_cast<std::size_t>(step)]);
  }
  for (RankExecutor& rank : ranks) rank.Fill();
  std::vector<planner::LayerDurations> kept;
  for (int run = 0; run < repeats.warmups + repeats.runs; ++run) {
    RunOnce(cell, ranks, observer, durations);
    if (run >= repeats.warmups) kept.push_back(durations);
  }
  return planner::Simulate(cell.work, MedianDurations(kept), planner::RingSync::kNeighbour);
}

}  // namespace dbsp::replay
