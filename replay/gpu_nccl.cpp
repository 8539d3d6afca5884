// SPDX-License-Identifier: Apache-2.0
// The nccl transport: one thread and one GPU per rank. A rank has a stream for what it computes and
// copies and one for what it exchanges, tied by events alone; the host only enqueues.
#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "core/error.h"
#include "core/parallel_for.h"
#include "core/segment_id.h"
#include "replay/abortable_barrier.h"
#include "replay/gpu_cell.h"
#include "replay/gpu_rank.h"
#include "replay/kernel_lookup.h"
#include "replay/rank_driver.h"
#include "replay/runner.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_event.h"

namespace dbsp::replay {
namespace {

using runtime::CudaBuffer;
using runtime::CudaEvent;
using runtime::CudaStream;
using runtime::NcclCommunicator;

/// What a rank has on its device. It outlives the communicator, because memory is freed only when
/// no exchange is under way any more.
struct RankOnGpu {
  explicit RankOnGpu(int ranks)
      : meeting(static_cast<std::size_t>(ranks) * sizeof(float), "the meeting point of ranks") {}
  CudaStream compute;
  CudaStream link;
  CudaBuffer meeting;  ///< one word per rank
  std::unique_ptr<GpuRank> rank;
  std::vector<std::uint16_t> output;
  std::vector<float> lse;
};

const Observer kNobody;

std::int64_t Ns(double ns) { return std::llround(ns); }

/// Drives one rank through one run.
class NcclRun final : private RankDriver {
 public:
  /// session  what is launched is tied to its segments; null where nobody traces
  NcclRun(const Cell& cell,
          RankOnGpu& at,
          NcclCommunicator& communicator,
          const Repeats& repeats,
          const Observer& observer,
          const runtime::ActivitySession* session)
      : cell_(cell),
        at_(at),
        rank_(*at.rank),
        communicator_(communicator),
        repeats_(repeats),
        observer_(observer),
        session_(session) {
    exchanged_.resize(cell.rounds(), nullptr);
    attended_.resize(cell.schedule.steps, nullptr);
  }

  RankTrace Run() {
    rank_.Reset();
    if (repeats_.gate != nullptr && rank_.rank() == 0) repeats_.gate->Arrive();
    Arrive();
    RunSteps(cell_, rank_.in_ring(), *this);
    communicator_.Wait();
    at_.compute.Synchronize();
    return Log();
  }

 private:
  struct Mark {
    SegmentKind kind = SegmentKind::kPack;
    int index = 0;
    const CudaEvent* begin = nullptr;
    const CudaEvent* end = nullptr;
    std::int64_t bytes = 0;
    bool busy = true;
  };

  const CudaEvent* Record(const CudaStream& stream) {
    events_.emplace_back();
    events_.back().Record(stream);
    return &events_.back();
  }

  /// No device passes its start before all have come: where every rank's clock is set to zero.
  void Arrive() {
    Record(at_.compute)->Block(at_.link);
    const std::vector<std::int64_t> counts(cell_.ranks(), 1);
    std::vector<std::int64_t> offsets(counts.size());
    std::iota(offsets.begin(), offsets.end(), std::int64_t{0});
    auto* words = at_.meeting.As<float>();
    communicator_.EnqueueAllGatherV(words + rank_.rank(), 1, words, counts, offsets);
    start_ = Record(at_.link);
    start_->Block(at_.compute);
  }

  /// `body` between two events on `stream`; returns the second.
  template <typename Body>
  const CudaEvent* Timed(SegmentKind kind, int index, const CudaStream& stream, const Body& body) {
    std::optional<runtime::ActivitySession::Segment> segment;
    if (session_ != nullptr) {
      segment.emplace(
          *session_,
          PackSegment(
              {cell_.key.step, cell_.key.layer, cell_.first_rank() + rank_.rank(), kind, index}));
    }
    Mark mark{.kind = kind, .index = index, .begin = Record(stream)};
    std::tie(mark.busy, mark.bytes) = body();
    mark.end = Record(stream);
    marks_.push_back(mark);
    return mark.end;
  }

  void Pack(int round) override {
    packed_ = Timed(SegmentKind::kPack, round, at_.compute, [&] {
      rank_.Pack(round);
      const std::int64_t bytes = rank_.executed().packed_bytes[round];
      return std::pair(bytes > 0, bytes);
    });
  }

  void StartExchange(int round) override {
    // What was enqueued before the pack has read the receive buffer, too.
    packed_->Block(at_.link);
    const auto at = static_cast<std::size_t>(round);
    exchanged_[at] = Timed(SegmentKind::kExchange, round, at_.link, [&] {
      const RoundBuffers buffers = rank_.Buffers(round);
      communicator_.EnqueueAllToAllV(buffers.send,
                                     buffers.send_counts,
                                     buffers.send_offsets,
                                     buffers.recv,
                                     buffers.recv_counts,
                                     buffers.recv_offsets);
      return std::pair(true, rank_.executed().sent_bytes[at]);
    });
  }

  void FinishExchange(int round) override { exchanged_[round]->Block(at_.compute); }

  void Unpack(int round) override {
    (void)Timed(SegmentKind::kUnpack, round, at_.compute, [&] {
      rank_.Unpack(round);
      const std::int64_t bytes = rank_.executed().unpacked_bytes[round];
      return std::pair(bytes > 0, bytes);
    });
  }

  void Attend(int step) override {
    if (observer_) observer_(rank_.rank(), step);
    attended_[step] = Timed(SegmentKind::kAttention, step, at_.compute, [&] {
      rank_.Attend(step);
      return std::pair(rank_.has_rows(step), std::int64_t{0});
    });
  }

  void Merge(int step) override {
    (void)Timed(SegmentKind::kMerge, step, at_.compute, [&] {
      rank_.Merge(step);
      const bool merged = rank_.executed().merged_rows[step] > 0;
      return std::pair(merged, std::int64_t{0});
    });
  }

  void StartHop(int step) override {
    // The first hop sends what was unpacked; a later one what the hop before brought, and receives
    // where the attention before last read.
    (step == 0 ? Record(at_.compute) : attended_[step - 1])->Block(at_.link);
    hopped_ = Timed(SegmentKind::kHop, step, at_.link, [&] {
      const HopBuffers hop = rank_.Hop(step);
      communicator_.EnqueueSendRecv(
          hop.send, hop.send_count, hop.dst, hop.recv, hop.recv_count, hop.src);
      return std::pair(hop.recv_count > 0,
                       hop.recv_count * static_cast<std::int64_t>(sizeof(float)));
    });
    hop_posted_.push_back(marks_.back().begin);
  }

  void FinishHop(int step) override {
    hopped_->Block(at_.compute);
    rank_.HopDone(step);
  }

  [[nodiscard]] RankTrace Log() const {
    RankTrace log;
    for (const Mark& mark : marks_) {
      if (!mark.busy) continue;
      log.segments.push_back({.rank = rank_.rank(),
                              .kind = mark.kind,
                              .index = mark.index,
                              .start_ns = Ns(CudaEvent::ElapsedNs(*start_, *mark.begin)),
                              .duration_ns = Ns(CudaEvent::ElapsedNs(*mark.begin, *mark.end)),
                              .bytes = mark.bytes});
    }
    for (const CudaEvent* posted : hop_posted_) {
      log.hop_posted_ns.push_back(Ns(CudaEvent::ElapsedNs(*start_, *posted)));
    }
    std::ranges::stable_sort(log.segments, {}, &Segment::start_ns);
    return log;
  }

  const Cell& cell_;
  RankOnGpu& at_;
  GpuRank& rank_;
  NcclCommunicator& communicator_;
  const Repeats& repeats_;
  const Observer& observer_;
  const runtime::ActivitySession* session_;
  std::deque<CudaEvent> events_;
  const CudaEvent* start_ = nullptr;
  const CudaEvent* packed_ = nullptr;  ///< the pack enqueued last
  const CudaEvent* hopped_ = nullptr;  ///< the hop enqueued last
  std::vector<const CudaEvent*> exchanged_;  ///< [rounds]
  std::vector<const CudaEvent*> attended_;  ///< [steps]
  std::vector<const CudaEvent*> hop_posted_;
  std::vector<Mark> marks_;
};

class NcclRunner final : public CellRunner {
 public:
  NcclRunner(const Cell& cell, const ExecutionTarget& on, bool verify)
      : cell_(cell), on_(on), verify_(verify), device_(OpenDevices(cell, on)) {
    kernel_ = &ChooseGpuKernel(
        cell.strategy.kernel, on.kernel, cell.shape.block, cell.shape.head_dim, device_.arch);
    if (on.sm_margin >= device_.sm_count) {
      Fail(ErrorCode::kInvalidArgument,
           "--sm-margin {}: the device has {} SMs, and attention needs at least one",
           on.sm_margin,
           device_.sm_count);
    }
    if (on.sm_margin > 0) on_.nccl.most_ctas = on.sm_margin;
    plans_ = MakeDevicePlans(cell);
    for (const RankBuffers& plan : plans_) memory_bytes_ += DeviceBytes(plan);
    at_.resize(plans_.size());
  }

  std::vector<Timeline> Run(std::span<const Segment>,
                            const Repeats& repeats,
                            const Observer& observer) override {
    const auto total = static_cast<std::size_t>(repeats.warmups + repeats.runs);
    std::vector<std::vector<RankTrace>> logs(total, std::vector<RankTrace>(at_.size()));
    runtime::RunNcclRanks(
        cell_.ranks(),
        on_.nccl,
        [&](int rank) { return Place(rank); },
        [&](NcclCommunicator& communicator) {
          const auto r = static_cast<std::size_t>(communicator.rank());
          try {
            for (std::size_t run = 0; run < total; ++run) {
              logs[run][r] =
                  NcclRun(cell_, *at_[r], communicator, repeats, observer, nullptr).Run();
            }
            at_[r]->output = at_[r]->rank->Output();
            at_[r]->lse = at_[r]->rank->LogSumExp();
          } catch (const std::exception& error) {
            Fail(ErrorCode::kMeasurement,
                 "rank {}: {}",
                 cell_.first_rank() + communicator.rank(),
                 error.what());
          }
        });
    for (auto& at : at_) {
      results_.o.push_back(std::move(at->output));
      results_.lse.push_back(std::move(at->lse));
    }
    std::vector<Timeline> timelines;
    for (auto run = static_cast<std::size_t>(repeats.warmups); run < total; ++run) {
      timelines.push_back(Compose(cell_, logs[run], false));
    }
    return timelines;
  }

  [[nodiscard]] std::vector<const Rank*> ranks() const override {
    std::vector<const Rank*> pointers;
    for (const auto& at : at_) pointers.push_back(at->rank.get());
    return pointers;
  }
  VerifyResult Judge(const VerifyOptions& options) override {
    const runtime::CurrentCudaDevice current(DeviceOf(0));
    const std::vector<const Rank*> pointers = ranks();
    const DeviceOutputs outputs(cell_, pointers, results_);
    const CudaStream stream;
    return JudgeDeviceOutputs(cell_, outputs, RunUnsplit(cell_, *kernel_, stream), options);
  }
  ActivityReport Trace(const runtime::ActivityOptions& options) override {
    return TraceCell(options, [this](const runtime::ActivitySession* session, int runs) {
      return Play(session, runs);
    });
  }
  [[nodiscard]] std::int64_t memory_bytes() const override { return memory_bytes_; }
  [[nodiscard]] std::string kernel() const override { return kernel_->name; }

 private:
  /// Opens the first rank's device; the ranks open theirs.
  static runtime::CudaDeviceFacts OpenDevices(const Cell& cell, const ExecutionTarget& on) {
    const int here = runtime::CudaDriver::Load().device_count();
    if (on.device.index + cell.all_ranks() > here) {
      Fail(
          ErrorCode::kUnavailable,
          "--transport nccl: unavailable: {} ranks need as many GPUs, from device {} on, and {} {} "
          "here; use --transport serial",
          cell.all_ranks(),
          on.device.index,
          here,
          here == 1 ? "is" : "are");
    }
    return runtime::OpenCudaDevice(on.device.index + cell.first_rank());
  }

  [[nodiscard]] int DeviceOf(int rank) const {
    return on_.device.index + cell_.first_rank() + rank;
  }

  /// Runs again, on the memory of before; one session is that of all ranks' threads.
  std::int64_t Play(const runtime::ActivitySession* session, int runs) {
    std::vector<RankTrace> logs(at_.size());
    runtime::RunNcclRanks(
        cell_.ranks(),
        on_.nccl,
        [&](int rank) {
          (void)runtime::OpenCudaDevice(DeviceOf(rank));
          return QueueOf(*at_[rank]);
        },
        [&](NcclCommunicator& communicator) {
          const auto r = static_cast<std::size_t>(communicator.rank());
          try {
            for (int run = 0; run < runs; ++run) {
              logs[r] = NcclRun(cell_, *at_[r], communicator, {}, kNobody, session).Run();
            }
          } catch (const Error& error) {
            if (error.code() == ErrorCode::kUnavailable) throw;  // CUPTI's
            Fail(ErrorCode::kMeasurement,
                 "rank {}: {}",
                 cell_.first_rank() + communicator.rank(),
                 error.what());
          }
        });
    return Compose(cell_, logs, false).makespan_ns;
  }

  static runtime::NcclQueue QueueOf(RankOnGpu& at) {
    return {at.link.get(),
            [&at] { return at.link.Idle() && at.compute.Idle(); },
            at.meeting.As<float>()};
  }

  /// On the rank's thread: its device, memory, Q, K and V.
  runtime::NcclQueue Place(int rank) {
    const auto r = static_cast<std::size_t>(rank);
    (void)runtime::OpenCudaDevice(DeviceOf(rank));
    const bool judge = verify_ && rank == 0;
    RequireDeviceMemory(
        DeviceBytes(plans_[r]) + (judge ? UnsplitBytes(cell_.shape, cell_.masks) : 0),
        "rank " + std::to_string(cell_.first_rank() + rank) + " of this cell");
    at_[r] = std::make_unique<RankOnGpu>(cell_.ranks());
    RankOnGpu& at = *at_[r];
    at.rank = std::make_unique<GpuRank>(std::move(plans_[r]), *kernel_, at.compute);
    if (on_.sm_margin > 0) at.rank->LimitSms(device_.sm_count - on_.sm_margin);
    at.rank->Fill(std::max(1, ThreadCount(0) / cell_.all_ranks()));
    return QueueOf(at);
  }

  const Cell& cell_;
  ExecutionTarget on_;
  bool verify_;
  runtime::CudaDeviceFacts device_;
  const kernels::gpu::Variant* kernel_ = nullptr;
  std::int64_t memory_bytes_ = 0;
  std::vector<RankBuffers> plans_;
  std::vector<std::unique_ptr<RankOnGpu>> at_;
  DeviceResults results_;
};

}  // namespace

std::unique_ptr<CellRunner> internal::MakeNcclRunner(const Cell& cell,
                                                     const ExecutionTarget& on,
                                                     bool verify) {
  return std::make_unique<NcclRunner>(cell, on, verify);
}

}  // namespace dbsp::replay
