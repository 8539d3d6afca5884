// SPDX-License-Identifier: Apache-2.0
// The serial transport on a GPU: one device runs all ranks one after the other.
#include <cmath>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/segment_id.h"
#include "replay/gpu_outputs.h"
#include "replay/gpu_rank.h"
#include "replay/kernel_lookup.h"
#include "replay/runner.h"
#include "replay/serial_device.h"
#include "runtime/clock.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_graph.h"

namespace dbsp::replay {
namespace {

using runtime::CudaEvent;
using runtime::CudaGraph;
using runtime::CudaStream;

DeviceResults ResultsOf(std::span<const GpuRank> ranks) {
  DeviceResults results;
  for (const GpuRank& rank : ranks) {
    results.o.push_back(rank.Output());
    results.lse.push_back(rank.LogSumExp());
  }
  return results;
}

/// Times phases with events on one stream. The host does not wait within a run.
class GpuSerialDevice final : public SerialDevice {
 public:
  /// kernel  of attention; names the run where an error or the deadline ends it
  GpuSerialDevice(std::span<const GpuRank> ranks,
                  const CudaStream& stream,
                  GraphMode mode,
                  const std::string& kernel)
      : ranks_(ranks), stream_(stream), mode_(mode), what_("a run with " + kernel) {}

  void Run(const std::function<void()>& body) override {
    timed_.clear();
    if (next_is_graph_) {
      const CudaGraph graph(stream_, body);
      graph.Launch(stream_);
      stream_.Synchronize(what_.c_str());
      ++graph_runs_;
      return Read();
    }
    const std::int64_t start = runtime::SteadyNs();
    body();
    const std::int64_t enqueue_ns = runtime::SteadyNs() - start;
    stream_.Synchronize(what_.c_str());
    Read();
    next_is_graph_ =
        mode_ == GraphMode::kOn || (mode_ == GraphMode::kAuto && LaunchesDominate(enqueue_ns));
    if (next_is_graph_) plain_ = ResultsOf(ranks_);
  }

  /// Tags launches with the segments of `cell` until the session ends.
  void Trace(const runtime::ActivitySession& session, const Cell& cell) {
    session_ = &session;
    traced_ = {.step = cell.key.step, .layer = cell.key.layer, .rank = cell.first_rank()};
  }

  void Time(const PhaseKey& key, double& ns, const std::function<bool()>& phase) override {
    std::optional<runtime::ActivitySession::Segment> segment;
    if (session_ != nullptr) {
      segment.emplace(
          *session_,
          PackSegment({traced_.step, traced_.layer, traced_.rank + key.rank, key.kind, key.index}));
    }
    if (timed_.size() == events_.size()) events_.emplace_back();
    Pair& pair = events_[timed_.size()];
    pair.begin.Record(stream_);
    timed_.push_back({&ns, phase()});
    pair.end.Record(stream_);
  }

  void CopyRound(int round,
                 int src,
                 std::int64_t from_byte,
                 int dst,
                 std::int64_t to_byte,
                 std::int64_t bytes) override {
    const GpuRank& from = ranks_[src];
    const GpuRank& to = ranks_[dst];
    to.recv(to.buffers().BufferOf(round))
        .CopyPart(from.send(from.buffers().BufferOf(round)),
                  static_cast<std::size_t>(from_byte),
                  static_cast<std::size_t>(to_byte),
                  static_cast<std::size_t>(bytes),
                  stream_);
  }

  void CopyHop(int step, int src, int dst) override {
    const GpuRank& from = ranks_[src];
    const GpuRank& to = ranks_[dst];
    to.blocks().CopyPart(
        from.blocks(),
        static_cast<std::size_t>(from.buffers().Bytes(from.buffers().StepKv(step))),
        static_cast<std::size_t>(to.buffers().Bytes(to.buffers().StepKv(step + 1))),
        static_cast<std::size_t>(to.buffers().Bytes(to.buffers().steps[step + 1].elements)),
        stream_);
  }

  /// Time of the last run in ns, from the start of its first phase to the end of its last one.
  [[nodiscard]] std::int64_t SpanNs() const {
    if (timed_.empty()) return 0;
    return std::llround(
        CudaEvent::ElapsedNs(events_.front().begin, events_[timed_.size() - 1].end));
  }
  [[nodiscard]] int graph_runs() const { return graph_runs_; }
  /// Results of the run before the first graph; empty without graphs.
  [[nodiscard]] const DeviceResults& plain() const { return plain_; }

 private:
  struct Pair {
    CudaEvent begin;
    CudaEvent end;
  };
  struct Timed {
    double* ns = nullptr;
    bool busy = false;
  };

  void Read() {
    for (std::size_t i = 0; i < timed_.size(); ++i) {
      *timed_[i].ns = timed_[i].busy ? CudaEvent::ElapsedNs(events_[i].begin, events_[i].end) : 0;
    }
  }

  /// See GraphMode::kAuto.
  [[nodiscard]] bool LaunchesDominate(std::int64_t enqueue_ns) const {
    return !timed_.empty() && 2 * enqueue_ns > SpanNs();
  }

  std::span<const GpuRank> ranks_;
  const CudaStream& stream_;
  GraphMode mode_;
  std::string what_;
  std::deque<Pair> events_;
  std::vector<Timed> timed_;  ///< as events_
  bool next_is_graph_ = false;
  const runtime::ActivitySession* session_ = nullptr;
  SegmentKey traced_;  ///< of the cell's first rank
  int graph_runs_ = 0;
  DeviceResults plain_;
};

class SerialGpuRunner final : public CellRunner {
 public:
  SerialGpuRunner(const Cell& cell, const ExecutionTarget& target, bool verify)
      : cell_(cell),
        graph_(target.graph),
        device_(runtime::OpenCudaDevice(target.device.index)),
        kernel_(ChooseGpuKernel(cell.strategy.kernel,
                                target.kernel,
                                cell.shape.block,
                                cell.shape.head_dim,
                                device_.arch)) {
    std::vector<RankBuffers> buffers = MakeGpuRankBuffers(cell);
    for (const RankBuffers& rank : buffers) memory_bytes_ += DeviceBytes(rank);
    RequireDeviceMemory(memory_bytes_ + (verify ? UnsplitBytes(cell.shape, cell.masks) : 0),
                        "replaying this cell with all its ranks on one GPU");
    ranks_.reserve(buffers.size());
    for (RankBuffers& rank : buffers) ranks_.emplace_back(std::move(rank), kernel_, stream_);
  }

  std::vector<Timeline> Run(std::span<const Segment> predicted,
                            const Repeats& repeats,
                            const Observer& observer) override {
    for (GpuRank& rank : ranks_) rank.Fill(0);
    GpuSerialDevice device(ranks_, stream_, graph_, kernel_.name);
    const std::vector<Rank*> pointers = RanksOf(std::span<GpuRank>(ranks_));
    Timeline timeline = RunSerialOn(device, cell_, pointers, predicted, repeats, observer);
    results_ = ResultsOf(ranks_);
    graph_runs_ = device.graph_runs();
    if (graph_runs_ > 0 && kernel_.deterministic && !SameBits(results_, device.plain())) {
      Fail(ErrorCode::kInternal,
           "a run launched as a CUDA graph and one launched call by call differ in their outputs");
    }
    return {std::move(timeline)};
  }

  [[nodiscard]] std::vector<const Rank*> ranks() const override {
    return RanksOf(std::span<const GpuRank>(ranks_));
  }
  VerifyResult VerifyOutputs(const VerifyOptions& options) override {
    const std::vector<const Rank*> pointers = ranks();
    const DeviceOutputs outputs(cell_, pointers, results_);
    return VerifyDeviceOutputs(cell_, outputs, RunUnsplit(cell_, kernel_, stream_), options);
  }
  ActivityReport Trace(const runtime::ActivityOptions& options) override {
    return TraceCell(options, [this](const runtime::ActivitySession* session, int runs) {
      GpuSerialDevice device(ranks_, stream_, GraphMode::kOff, kernel_.name);
      if (session != nullptr) device.Trace(*session, cell_);
      for (int run = 0; run < runs; ++run) {
        RunOnce(device, cell_, RanksOf(std::span<GpuRank>(ranks_)));
      }
      stream_.Synchronize("the traced run");
      return device.SpanNs();
    });
  }
  [[nodiscard]] std::int64_t memory_bytes() const override { return memory_bytes_; }
  [[nodiscard]] std::string kernel() const override { return kernel_.name; }
  [[nodiscard]] int graph_runs() const override { return graph_runs_; }

 private:
  const Cell& cell_;
  GraphMode graph_;
  runtime::CudaDeviceFacts device_;
  const kernels::gpu::Variant& kernel_;
  CudaStream stream_;
  std::int64_t memory_bytes_ = 0;
  std::vector<GpuRank> ranks_;
  DeviceResults results_;
  int graph_runs_ = 0;
};

}  // namespace

std::unique_ptr<CellRunner> internal::MakeSerialGpuRunner(const Cell& cell,
                                                          const ExecutionTarget& target,
                                                          bool verify) {
  return std::make_unique<SerialGpuRunner>(cell, target, verify);
}

}  // namespace dbsp::replay
