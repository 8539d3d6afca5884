// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "core/statistics.h"
#include "planner/timeline/timeline.h"
#include "replay/serial_device.h"
#include "runtime/clock.h"

namespace dbsp::replay {
namespace {

using Grid2 = std::vector<std::vector<double>>;

Grid2 Zeros(int outer, int ranks) {
  return Grid2(static_cast<std::size_t>(outer), std::vector<double>(ranks, 0.0));
}

planner::LayerDurations NoDurations(const Cell& cell) {
  planner::LayerDurations durations;
  durations.pack = durations.exchange = durations.unpack = Zeros(cell.rounds(), cell.ranks());
  durations.attention = durations.merge = Zeros(cell.schedule.steps, cell.ranks());
  durations.hop = Zeros(cell.schedule.steps - 1, cell.ranks());
  return durations;
}

/// Exchange and hop durations that a plan predicted, and the predicted slowdown of attention by
/// them.
class PredictedTimes {
 public:
  explicit PredictedTimes(std::span<const Segment> segments) {
    for (const Segment& s : segments) {
      times_[{s.rank, s.kind, s.index}] = s.duration_ns;
      if (s.alone_ns.value_or(0) == 0) continue;
      slowed_.push_back(
          {s.rank, s.index, static_cast<double>(s.duration_ns) / static_cast<double>(*s.alone_ns)});
    }
  }

  /// Multiplies attention times, which were measured without exchanges, by the predicted slowdown.
  void SlowDown(std::vector<std::vector<double>>& attention) const {
    for (const Slowed& s : slowed_) {
      attention.at(s.step).at(s.rank) *= s.factor;
    }
  }

  [[nodiscard]] std::optional<std::int64_t> Find(int rank, SegmentKind kind, int index) const {
    const auto found = times_.find({rank, kind, index});
    if (found == times_.end()) return std::nullopt;
    return found->second;
  }

 private:
  struct Slowed {
    int rank = 0;
    int step = 0;
    double factor = 1;
  };

  std::map<std::tuple<int, SegmentKind, int>, std::int64_t> times_;
  std::vector<Slowed> slowed_;
};

[[noreturn]] void FailMissing(SegmentKind kind, int index, int rank, std::int64_t bytes) {
  Fail(ErrorCode::kMismatch,
       "the plan has no predicted time of {} {} for rank {}, which moves {} bytes; the serial "
       "transport takes exchange times from the plan: use --transport threads, or tune again",
       NameOf(kind),
       index,
       rank,
       bytes);
}

/// Ranks of one connected component wait for each other. Each gets the longest predicted time.
void SetExchange(const Cell& cell,
                 const PredictedTimes& times,
                 int round,
                 std::vector<double>& out) {
  const auto at = static_cast<std::size_t>(round);
  const std::vector<int>& component = cell.volumes.component.at(at);
  std::map<int, std::optional<std::int64_t>> longest;
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto found = times.Find(rank, SegmentKind::kExchange, round);
    auto& known = longest[component.at(rank)];
    if (found) known = std::max(known.value_or(0), *found);
  }
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const auto known = longest[component[r]];
    const std::int64_t bytes = cell.volumes.rounds.at(at).Sent(rank);
    if (!known && bytes > 0) FailMissing(SegmentKind::kExchange, round, rank, bytes);
    out[r] = static_cast<double>(known.value_or(0));
  }
}

void SetHops(const Cell& cell, const PredictedTimes& times, int step, std::vector<double>& out) {
  for (int rank = 0; rank < cell.ranks(); ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    const std::int64_t bytes = cell.volumes.hop_bytes.at(step).at(r);
    const auto found = times.Find(rank, SegmentKind::kHop, step);
    if (!found && bytes > 0) FailMissing(SegmentKind::kHop, step, rank, bytes);
    out[r] = static_cast<double>(found.value_or(0));
  }
}

void RequireEqual(const char* what, int index, int src, int dst, std::int64_t a, std::int64_t b) {
  if (a == b) return;
  Fail(ErrorCode::kInternal,
       "{} {}: rank {} sends {} bytes, but rank {} expects {}",
       what,
       index,
       src,
       a,
       dst,
       b);
}

/// One run of all ranks of a cell, one after the other.
class SerialRun {
 public:
  SerialRun(SerialDevice& device,
            const Cell& cell,
            std::span<Rank* const> ranks,
            const Observer& observer,
            planner::LayerDurations& durations)
      : device_(device), cell_(cell), ranks_(ranks), observer_(observer), durations_(durations) {}

  void Run() {
    for (Rank* rank : ranks_) rank->Reset();
    device_.Run([this] { RunPhases(); });
  }

 private:
  void RunPhases() {
    if (cell_.chunked()) {  // one chunk after the other; Simulate overlaps them
      for (int chunk = 0; chunk < cell_.schedule.steps; ++chunk) {
        RunRounds(chunk, chunk + 1);
        RunStep(chunk);
        const int after = cell_.rounds_before() + chunk;
        RunRounds(after, after + 1);
      }
      return;
    }
    RunRounds(0, cell_.rounds_before());
    for (int step = 0; step < cell_.schedule.steps; ++step) {
      RunStep(step);
      if (step + 1 < cell_.schedule.steps) DeliverHops(step);
    }
    RunRounds(cell_.rounds_before(), cell_.rounds());
  }

  /// Runs one phase of every rank. `phase` returns false when the rank has no work in it.
  template <typename Phase>
  void ForRanks(SegmentKind kind, int index, std::vector<double>& times, const Phase& phase) {
    for (Rank* rank : ranks_) {
      try {
        device_.Time(
            {kind, index, rank->rank()}, times[rank->rank()], [&] { return phase(*rank); });
      } catch (const std::exception& error) {
        FailRank(rank->rank(), error);
      }
    }
  }

  [[noreturn]] void FailRank(int rank, const std::exception& error) const {
    Fail(ErrorCode::kMeasurement, "rank {}: {}", cell_.first_rank() + rank, error.what());
  }

  void RunRounds(int begin, int end) {
    for (int round = begin; round < end; ++round) {
      const auto at = static_cast<std::size_t>(round);
      ForRanks(SegmentKind::kPack, round, durations_.pack[at], [&](Rank& rank) {
        rank.Pack(round);
        return rank.executed().packed_bytes[at] > 0;
      });
      DeliverRound(round);
      ForRanks(SegmentKind::kUnpack, round, durations_.unpack[at], [&](Rank& rank) {
        rank.Unpack(round);
        return rank.executed().unpacked_bytes[at] > 0;
      });
    }
  }

  /// Attention and merge of one step.
  void RunStep(int step) {
    const auto at = static_cast<std::size_t>(step);
    for (Rank* rank : ranks_) {
      try {
        if (observer_) observer_(rank->rank(), step);
      } catch (const std::exception& error) {
        FailRank(rank->rank(), error);
      }
    }
    ForRanks(SegmentKind::kAttention, step, durations_.attention[at], [&](Rank& rank) {
      rank.Attend(step);
      return rank.has_rows(step);
    });
    ForRanks(SegmentKind::kMerge, step, durations_.merge[at], [&](Rank& rank) {
      rank.Merge(step);
      return rank.executed().merged_rows[at] > 0;
    });
  }

  void DeliverRound(int round) {
    std::vector<RoundBuffers> all;
    for (Rank* rank : ranks_) all.push_back(rank->ExchangeBuffers(round));
    for (std::size_t src = 0; src < ranks_.size(); ++src) {
      for (std::size_t dst = 0; dst < ranks_.size(); ++dst) {
        const int from = static_cast<int>(src);
        const int to = static_cast<int>(dst);
        const std::int64_t count = all[src].send_counts[dst];
        RequireEqual("round", round, from, to, count, all[dst].recv_counts[src]);
        device_.CopyRound(
            round, from, all[src].send_offsets[dst], to, all[dst].recv_offsets[src], count);
      }
    }
  }

  void DeliverHops(int step) {
    for (Rank* rank : ranks_) {
      if (!rank->in_ring()) continue;
      const HopBuffers to = rank->Hop(step);
      const HopBuffers from = ranks_[to.src]->Hop(step);
      RequireEqual("hop", step, to.src, rank->rank(), std::ssize(from.send), std::ssize(to.recv));
      device_.CopyHop(step, to.src, rank->rank());
    }
    for (Rank* rank : ranks_) {
      if (rank->in_ring()) rank->HopDone(step);
    }
  }

  SerialDevice& device_;
  const Cell& cell_;
  std::span<Rank* const> ranks_;
  const Observer& observer_;
  planner::LayerDurations& durations_;
};

/// Executes immediately and measures the CPU time of this thread.
class CpuSerialDevice final : public SerialDevice {
 public:
  explicit CpuSerialDevice(std::span<Rank* const> ranks) : ranks_(ranks) {}

  void Run(const std::function<void()>& body) override { body(); }

  void Time(const PhaseKey&, double& ns, const std::function<bool()>& phase) override {
    const std::int64_t start = runtime::ThreadNs();
    const bool busy = phase();
    ns = busy ? static_cast<double>(runtime::ThreadNs() - start) : 0;
  }

  void CopyRound(int round,
                 int src,
                 std::int64_t from_byte,
                 int dst,
                 std::int64_t to_byte,
                 std::int64_t bytes) override {
    Rank& from = *ranks_[src];
    Rank& to = *ranks_[dst];
    std::copy_n(from.SendBytes(from.buffers().BufferOf(round)).begin() + from_byte,
                bytes,
                to.RecvBytes(to.buffers().BufferOf(round)).begin() + to_byte);
  }

  void CopyHop(int step, int src, int dst) override {
    std::ranges::copy(ranks_[src]->KvBytes(step), ranks_[dst]->KvBytes(step + 1).begin());
  }

 private:
  std::span<Rank* const> ranks_;
};

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
        (result.*grid)[i][rank] = Median(values);
      }
    }
  }
  return result;
}

void RunOnce(SerialDevice& device, const Cell& cell, std::span<Rank* const> ranks) {
  planner::LayerDurations durations = NoDurations(cell);
  SerialRun(device, cell, ranks, {}, durations).Run();
}

Timeline RunSerialOn(SerialDevice& device,
                     const Cell& cell,
                     std::span<Rank* const> ranks,
                     std::span<const Segment> predicted,
                     const Repeats& repeats,
                     const Observer& observer) {
  const PredictedTimes times(predicted);
  planner::LayerDurations durations = NoDurations(cell);
  for (int round = 0; round < cell.rounds(); ++round) {
    SetExchange(cell, times, round, durations.exchange[round]);
  }
  for (int step = 0; step + 1 < cell.schedule.steps; ++step) {
    SetHops(cell, times, step, durations.hop[step]);
  }
  std::vector<planner::LayerDurations> kept;
  for (int run = 0; run < repeats.warmups + repeats.runs; ++run) {
    SerialRun(device, cell, ranks, observer, durations).Run();
    if (run >= repeats.warmups) kept.push_back(durations);
  }
  planner::LayerDurations medians = MedianDurations(kept);
  times.SlowDown(medians.attention);
  return planner::Simulate(cell.volumes, medians, planner::RingSync::kNeighbour);
}

Timeline RunSerial(const Cell& cell,
                   std::span<CpuRank> ranks,
                   std::span<const Segment> predicted,
                   const Repeats& repeats,
                   const Observer& observer) {
  for (CpuRank& rank : ranks) rank.Fill();
  const std::vector<Rank*> pointers = RanksOf(ranks);
  CpuSerialDevice device(pointers);
  return RunSerialOn(device, cell, pointers, predicted, repeats, observer);
}

}  // namespace dbsp::replay
