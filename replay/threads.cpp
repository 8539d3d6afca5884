// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "core/statistics.h"
#include "replay/abortable_barrier.h"
#include "replay/exchange_queue.h"
#include "replay/rank_driver.h"
#include "replay/transport.h"
#include "runtime/clock.h"
#include "runtime/ranks/communicator.h"

namespace dbsp::replay {
namespace {

/// Drives one rank through one run.
class ThreadRankDriver final : private RankDriver {
 public:
  ThreadRankDriver(const Cell& cell,
                   Rank& rank,
                   runtime::Communicator& communicator,
                   const Repeats& repeats,
                   const Observer& observer,
                   RankTrace& trace)
      : cell_(cell),
        rank_(rank),
        communicator_(communicator),
        repeats_(repeats),
        observer_(observer),
        trace_(trace) {}

  void Run() {
    rank_.Reset();
    if (!cell_.chunked()) return Start();
    // Exchanges run on a separate thread during attention.
    ExchangeQueue queue(communicator_);
    queue_ = &queue;
    try {
      Start();
    } catch (const std::exception& error) {
      communicator_.Abort(error.what());  // else the queue waits for the other ranks
      throw;
    }
    std::ranges::stable_sort(trace_.segments, {}, &Segment::start_ns);
  }

 private:
  void Start() {
    communicator_.Barrier();
    if (repeats_.barrier != nullptr) {
      // The other ranks run nothing that can fail until rank 0 has returned from the barrier.
      if (rank_.rank() == 0) repeats_.barrier->Arrive();
      communicator_.Barrier();
    }
    trace_.start_ns = runtime::SteadyNs();
    DriveRank(cell_, rank_.in_ring(), *this);
  }

  /// A segment from `start` to now, unless `busy` says that there was nothing to do.
  void Add(SegmentKind kind, int index, std::int64_t start, std::int64_t bytes, bool busy) {
    if (!busy) return;
    trace_.segments.push_back({.rank = rank_.rank(),
                               .kind = kind,
                               .index = index,
                               .start_ns = start,
                               .duration_ns = runtime::SteadyNs() - start,
                               .bytes = bytes});
  }

  void StartExchange(int round) override {
    buffers_ = rank_.ExchangeBuffers(round);
    if (queue_ == nullptr) return;
    queue_->Start(buffers_);
    started_.push_back(round);
  }

  void FinishExchange(int round) override {
    // A rank that moves nothing takes part too: its arrival time counts.
    const std::int64_t sent = rank_.executed().sent_bytes[round];
    if (queue_ == nullptr) {
      const std::int64_t start = runtime::SteadyNs();
      communicator_.AllToAllV(buffers_.send,
                              buffers_.send_counts,
                              buffers_.send_offsets,
                              buffers_.recv,
                              buffers_.recv_counts,
                              buffers_.recv_offsets);
      return Add(SegmentKind::kExchange, round, start, sent, true);
    }
    const auto index = std::ranges::find(started_, round) - started_.begin();
    const ExchangeTimes times = queue_->Wait(static_cast<std::size_t>(index));
    trace_.segments.push_back({.rank = rank_.rank(),
                               .kind = SegmentKind::kExchange,
                               .index = round,
                               .start_ns = times.start_ns,
                               .duration_ns = times.duration_ns,
                               .bytes = sent});
  }

  void Pack(int round) override {
    const std::int64_t start = runtime::SteadyNs();
    rank_.Pack(round);
    const std::int64_t packed = rank_.executed().packed_bytes[round];
    Add(SegmentKind::kPack, round, start, packed, packed > 0);
  }

  void Unpack(int round) override {
    const std::int64_t start = runtime::SteadyNs();
    rank_.Unpack(round);
    const std::int64_t unpacked = rank_.executed().unpacked_bytes[round];
    Add(SegmentKind::kUnpack, round, start, unpacked, unpacked > 0);
  }

  void Attend(int step) override {
    if (observer_) observer_(rank_.rank(), step);
    const std::int64_t start = runtime::SteadyNs();
    rank_.Attend(step);
    Add(SegmentKind::kAttention, step, start, 0, rank_.has_rows(step));
  }

  void Merge(int step) override {
    const std::int64_t start = runtime::SteadyNs();
    rank_.Merge(step);
    const bool merged = rank_.executed().merged_rows[step] > 0;
    Add(SegmentKind::kMerge, step, start, 0, merged);
  }

  void StartHop(int step) override {
    hop_ = rank_.Hop(step);
    trace_.hop_posted_ns.push_back(runtime::SteadyNs());
    communicator_.StartSendRecv(hop_.send, hop_.dst, hop_.recv, hop_.src);
  }

  void FinishHop(int step) override {
    const std::int64_t start = runtime::SteadyNs();
    communicator_.WaitSendRecv();
    Add(SegmentKind::kHop, step, start, std::ssize(hop_.recv), !hop_.recv.empty());
    rank_.HopDone(step);
  }

  const Cell& cell_;
  Rank& rank_;
  runtime::Communicator& communicator_;
  const Repeats& repeats_;
  const Observer& observer_;
  RankTrace& trace_;
  ExchangeQueue* queue_ = nullptr;  ///< with chunks
  RoundBuffers buffers_;  ///< of the exchange started last
  HopBuffers hop_;
  std::vector<int> started_;  ///< rounds, in the order their exchanges were started
};

}  // namespace

std::vector<Timeline> RunThreads(const Cell& cell,
                                 std::span<CpuRank> ranks,
                                 const Repeats& repeats,
                                 const Observer& observer) {
  const auto total = static_cast<std::size_t>(repeats.warmups + repeats.runs);
  std::vector<std::vector<RankTrace>> traces(total, std::vector<RankTrace>(ranks.size()));
  runtime::RunRanks(cell.ranks(), [&](runtime::Communicator& communicator) {
    const auto r = static_cast<std::size_t>(communicator.rank());
    try {
      ranks[r].Fill();
      for (std::size_t run = 0; run < total; ++run) {
        ThreadRankDriver(cell, ranks[r], communicator, repeats, observer, traces[run][r]).Run();
      }
    } catch (const std::exception& error) {
      Fail(ErrorCode::kMeasurement,
           "rank {}: {}",
           cell.first_rank() + communicator.rank(),
           error.what());
    }
  });
  std::vector<Timeline> timelines;
  for (std::size_t run = static_cast<std::size_t>(repeats.warmups); run < total; ++run) {
    timelines.push_back(Compose(cell, traces[run], true));
  }
  return timelines;
}

std::size_t MedianRun(std::span<const Timeline> runs) {
  std::vector<std::int64_t> makespans;
  for (const Timeline& run : runs) makespans.push_back(run.makespan_ns);
  const double median = Median(makespans);
  const auto distance = [&](std::int64_t ns) {
    return std::pair(std::abs(static_cast<double>(ns) - median), ns);
  };
  const auto nearest = std::ranges::min_element(makespans, {}, distance);
  return static_cast<std::size_t>(nearest - makespans.begin());
}

}  // namespace dbsp::replay
