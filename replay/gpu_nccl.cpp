// SPDX-License-Identifier: Apache-2.0
// The nccl transport: one thread and one GPU per rank. A rank has one stream for compute and copies
// and one for exchanges. Events order the two streams; the host only enqueues.
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
#include "replay/gpu_outputs.h"
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

/// Resources of a rank on its device. They outlive the communicator, so that no memory is freed
/// while an exchange runs.
struct RankResources {
  explicit RankResources(int ranks)
      : barrier_words(static_cast<std::size_t>(ranks) * sizeof(float), "barrier words") {}
  CudaStream compute;
  CudaStream link;  ///< exchanges and hops
  CudaBuffer barrier_words;  ///< one word per rank
  std::unique_ptr<GpuRank> rank;
  std::vector<std::uint16_t> output;
  std::vector<float> lse;
};

const Observer kNoObserver;

std::int64_t Ns(double ns) { return std::llround(ns); }

/// Drives one rank through one run.
class NcclRankDriver final : private RankDriver {
 public:
  /// session  tags launches with their segments; null without tracing
  NcclRankDriver(const Cell& cell,
                 RankResources& resources,
                 NcclCommunicator& communicator,
                 const Repeats& repeats,
                 const Observer& observer,
                 const runtime::ActivitySession* session)
      : cell_(cell),
        resources_(resources),
        rank_(*resources.rank),
        communicator_(communicator),
        repeats_(repeats),
        observer_(observer),
        session_(session) {
    exchanged_.resize(cell.rounds(), nullptr);
    attended_.resize(cell.schedule.steps, nullptr);
  }

  RankTrace Run() {
    rank_.Reset();
    if (repeats_.barrier != nullptr && rank_.rank() == 0) repeats_.barrier->Arrive();
    SynchronizeRanks();
    DriveRank(cell_, rank_.in_ring(), *this);
    communicator_.Wait();
    resources_.compute.Synchronize();
    return TraceOfRun();
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

  /// Enqueues a barrier of all devices. Its end is time 0 of every rank's clock.
  void SynchronizeRanks() {
    Record(resources_.compute)->Block(resources_.link);
    constexpr std::int64_t kWord = sizeof(float);
    const std::vector<std::int64_t> counts(cell_.ranks(), kWord);
    std::vector<std::int64_t> offsets;
    for (int rank = 0; rank < cell_.ranks(); ++rank) offsets.push_back(rank * kWord);
    const std::span<std::byte> words = resources_.barrier_words.span();
    communicator_.EnqueueAllGatherV(
        words.subspan(static_cast<std::size_t>(rank_.rank() * kWord), kWord),
        words,
        counts,
        offsets);
    start_ = Record(resources_.link);
    start_->Block(resources_.compute);
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
    packed_ = Timed(SegmentKind::kPack, round, resources_.compute, [&] {
      rank_.Pack(round);
      const std::int64_t bytes = rank_.executed().packed_bytes[round];
      return std::pair(bytes > 0, bytes);
    });
  }

  void StartExchange(int round) override {
    // The operations enqueued before the pack have read the receive buffer.
    packed_->Block(resources_.link);
    const auto at = static_cast<std::size_t>(round);
    exchanged_[at] = Timed(SegmentKind::kExchange, round, resources_.link, [&] {
      const RoundBuffers buffers = rank_.ExchangeBuffers(round);
      communicator_.EnqueueAllToAllV(buffers.send,
                                     buffers.send_counts,
                                     buffers.send_offsets,
                                     buffers.recv,
                                     buffers.recv_counts,
                                     buffers.recv_offsets);
      return std::pair(true, rank_.executed().sent_bytes[at]);
    });
  }

  void FinishExchange(int round) override { exchanged_[round]->Block(resources_.compute); }

  void Unpack(int round) override {
    (void)Timed(SegmentKind::kUnpack, round, resources_.compute, [&] {
      rank_.Unpack(round);
      const std::int64_t bytes = rank_.executed().unpacked_bytes[round];
      return std::pair(bytes > 0, bytes);
    });
  }

  void Attend(int step) override {
    if (observer_) observer_(rank_.rank(), step);
    attended_[step] = Timed(SegmentKind::kAttention, step, resources_.compute, [&] {
      rank_.Attend(step);
      return std::pair(rank_.has_rows(step), std::int64_t{0});
    });
  }

  void Merge(int step) override {
    (void)Timed(SegmentKind::kMerge, step, resources_.compute, [&] {
      rank_.Merge(step);
      const bool merged = rank_.executed().merged_rows[step] > 0;
      return std::pair(merged, std::int64_t{0});
    });
  }

  void StartHop(int step) override {
    // The first hop sends the unpacked K/V. A later hop sends the K/V of the previous hop and
    // receives into the buffer that the attention before the last one read.
    (step == 0 ? Record(resources_.compute) : attended_[step - 1])->Block(resources_.link);
    hopped_ = Timed(SegmentKind::kHop, step, resources_.link, [&] {
      const HopBuffers hop = rank_.Hop(step);
      communicator_.EnqueueSendRecv(hop.send, hop.dst, hop.recv, hop.src);
      return std::pair(!hop.recv.empty(), std::int64_t{std::ssize(hop.recv)});
    });
    hop_posted_.push_back(marks_.back().begin);
  }

  void FinishHop(int step) override {
    hopped_->Block(resources_.compute);
    rank_.HopDone(step);
  }

  [[nodiscard]] RankTrace TraceOfRun() const {
    RankTrace trace;
    for (const Mark& mark : marks_) {
      if (!mark.busy) continue;
      trace.segments.push_back({.rank = rank_.rank(),
                                .kind = mark.kind,
                                .index = mark.index,
                                .start_ns = Ns(CudaEvent::ElapsedNs(*start_, *mark.begin)),
                                .duration_ns = Ns(CudaEvent::ElapsedNs(*mark.begin, *mark.end)),
                                .bytes = mark.bytes});
    }
    for (const CudaEvent* posted : hop_posted_) {
      trace.hop_posted_ns.push_back(Ns(CudaEvent::ElapsedNs(*start_, *posted)));
    }
    std::ranges::stable_sort(trace.segments, {}, &Segment::start_ns);
    return trace;
  }

  const Cell& cell_;
  RankResources& resources_;
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
  NcclRunner(const Cell& cell, const ExecutionTarget& target, bool verify)
      : cell_(cell), target_(target), verify_(verify), device_(OpenDevices(cell, target)) {
    kernel_ = &ChooseGpuKernel(
        cell.strategy.kernel, target.kernel, cell.shape.block, cell.shape.head_dim, device_.arch);
    if (target.sm_margin >= device_.sm_count) {
      Fail(ErrorCode::kInvalidArgument,
           "--sm-margin {}: the device has {} SMs, and attention needs at least one",
           target.sm_margin,
           device_.sm_count);
    }
    if (target.sm_margin > 0) target_.nccl.most_ctas = target.sm_margin;
    buffers_ = MakeGpuRankBuffers(cell);
    for (const RankBuffers& buffers : buffers_) memory_bytes_ += DeviceBytes(buffers);
    resources_.resize(buffers_.size());
  }

  std::vector<Timeline> Run(std::span<const Segment>,
                            const Repeats& repeats,
                            const Observer& observer) override {
    const auto total = static_cast<std::size_t>(repeats.warmups + repeats.runs);
    std::vector<std::vector<RankTrace>> traces(total, std::vector<RankTrace>(resources_.size()));
    runtime::RunNcclRanks(
        cell_.ranks(),
        target_.nccl,
        [&](int rank) { return SetUpRank(rank); },
        [&](NcclCommunicator& communicator) {
          const auto r = static_cast<std::size_t>(communicator.rank());
          try {
            for (std::size_t run = 0; run < total; ++run) {
              traces[run][r] =
                  NcclRankDriver(cell_, *resources_[r], communicator, repeats, observer, nullptr)
                      .Run();
            }
            resources_[r]->output = resources_[r]->rank->Output();
            resources_[r]->lse = resources_[r]->rank->LogSumExp();
          } catch (const std::exception& error) {
            Fail(ErrorCode::kMeasurement,
                 "rank {}: {}",
                 cell_.first_rank() + communicator.rank(),
                 error.what());
          }
        });
    for (auto& rank : resources_) {
      results_.o.push_back(std::move(rank->output));
      results_.lse.push_back(std::move(rank->lse));
    }
    std::vector<Timeline> timelines;
    for (auto run = static_cast<std::size_t>(repeats.warmups); run < total; ++run) {
      timelines.push_back(Compose(cell_, traces[run], false));
    }
    return timelines;
  }

  [[nodiscard]] std::vector<const Rank*> ranks() const override {
    std::vector<const Rank*> pointers;
    for (const auto& rank : resources_) pointers.push_back(rank->rank.get());
    return pointers;
  }
  VerifyResult VerifyOutputs(const VerifyOptions& options) override {
    const runtime::CurrentCudaDevice current(DeviceOf(0));
    const std::vector<const Rank*> pointers = ranks();
    const DeviceOutputs outputs(cell_, pointers, results_);
    const CudaStream stream;
    return VerifyDeviceOutputs(cell_, outputs, RunUnsplit(cell_, *kernel_, stream), options);
  }
  ActivityReport Trace(const runtime::ActivityOptions& options) override {
    return TraceCell(options, [this](const runtime::ActivitySession* session, int runs) {
      return RunAgain(session, runs);
    });
  }
  [[nodiscard]] std::int64_t memory_bytes() const override { return memory_bytes_; }
  [[nodiscard]] std::string kernel() const override { return kernel_->name; }

 private:
  /// Checks the number of devices and opens the one of the first rank. Every rank opens its own
  /// device on its thread.
  static runtime::CudaDeviceFacts OpenDevices(const Cell& cell, const ExecutionTarget& target) {
    const int here = runtime::CudaDriver::Load().device_count();
    if (target.device.index + cell.all_ranks() > here) {
      Fail(ErrorCode::kUnavailable,
           "--transport nccl: unavailable: {} ranks need one GPU each, from device {} on, but this "
           "machine has {}; use --transport serial",
           cell.all_ranks(),
           target.device.index,
           here);
    }
    return runtime::OpenCudaDevice(target.device.index + cell.first_rank());
  }

  [[nodiscard]] int DeviceOf(int rank) const {
    return target_.device.index + cell_.first_rank() + rank;
  }

  /// Runs the cell again with the buffers of the previous run. The threads of all ranks share the
  /// session.
  std::int64_t RunAgain(const runtime::ActivitySession* session, int runs) {
    std::vector<RankTrace> traces(resources_.size());
    runtime::RunNcclRanks(
        cell_.ranks(),
        target_.nccl,
        [&](int rank) {
          (void)runtime::OpenCudaDevice(DeviceOf(rank));
          return QueueOf(*resources_[rank]);
        },
        [&](NcclCommunicator& communicator) {
          const auto r = static_cast<std::size_t>(communicator.rank());
          try {
            for (int run = 0; run < runs; ++run) {
              traces[r] =
                  NcclRankDriver(cell_, *resources_[r], communicator, {}, kNoObserver, session)
                      .Run();
            }
          } catch (const Error& error) {
            if (error.code() == ErrorCode::kUnavailable) throw;  // thrown by CUPTI
            Fail(ErrorCode::kMeasurement,
                 "rank {}: {}",
                 cell_.first_rank() + communicator.rank(),
                 error.what());
          }
        });
    return Compose(cell_, traces, false).makespan_ns;
  }

  static runtime::NcclQueue QueueOf(RankResources& resources) {
    return {resources.link.get(),
            [&resources] { return resources.link.Idle() && resources.compute.Idle(); },
            resources.barrier_words.As<float>()};
  }

  /// Opens the rank's device, allocates its buffers and uploads Q, K and V. Called on the rank's
  /// thread.
  runtime::NcclQueue SetUpRank(int rank) {
    const auto r = static_cast<std::size_t>(rank);
    (void)runtime::OpenCudaDevice(DeviceOf(rank));
    const bool judge = verify_ && rank == 0;
    RequireDeviceMemory(
        DeviceBytes(buffers_[r]) + (judge ? UnsplitBytes(cell_.shape, cell_.masks) : 0),
        "rank " + std::to_string(cell_.first_rank() + rank) + " of this cell");
    resources_[r] = std::make_unique<RankResources>(cell_.ranks());
    RankResources& resources = *resources_[r];
    resources.rank = std::make_unique<GpuRank>(std::move(buffers_[r]), *kernel_, resources.compute);
    if (target_.sm_margin > 0) resources.rank->LimitSms(device_.sm_count - target_.sm_margin);
    resources.rank->Fill(std::max(1, ThreadCount(0) / cell_.all_ranks()));
    return QueueOf(resources);
  }

  const Cell& cell_;
  ExecutionTarget target_;
  bool verify_;
  runtime::CudaDeviceFacts device_;
  const kernels::gpu::Variant* kernel_ = nullptr;
  std::int64_t memory_bytes_ = 0;
  std::vector<RankBuffers> buffers_;
  std::vector<std::unique_ptr<RankResources>> resources_;
  DeviceResults results_;
};

}  // namespace

std::unique_ptr<CellRunner> internal::MakeNcclRunner(const Cell& cell,
                                                     const ExecutionTarget& target,
                                                     bool verify) {
  return std::make_unique<NcclRunner>(cell, target, verify);
}

}  // namespace dbsp::replay
