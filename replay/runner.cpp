// SPDX-License-Identifier: Apache-2.0
#include "replay/runner.h"

#include <limits>

#include "core/parallel_for.h"
#include "replay/cpu_rank.h"

namespace dbsp::replay {
namespace {

class CpuRunner final : public CellRunner {
 public:
  CpuRunner(const Cell& cell, TransportKind transport) : cell_(cell), transport_(transport) {
    ranks_.reserve(cell.ranks());
    for (int rank = 0; rank < cell.ranks(); ++rank) ranks_.emplace_back(cell, rank);
  }

  std::vector<Timeline> Run(std::span<const Segment> predicted,
                            const Repeats& repeats,
                            const Observer& observer) override {
    if (transport_ == TransportKind::kThreads) return RunThreads(cell_, ranks_, repeats, observer);
    return {RunSerial(cell_, ranks_, predicted, repeats, observer)};
  }
  [[nodiscard]] std::vector<const Rank*> ranks() const override {
    return RanksOf(std::span<const CpuRank>(ranks_));
  }
  VerifyResult VerifyOutputs(const VerifyOptions& options) override {
    return Verify(cell_, ranks_, options);
  }
  [[nodiscard]] std::int64_t memory_bytes() const override { return CellBytes(cell_); }
  [[nodiscard]] std::string kernel() const override {
    return kernels::FindCpuAttention(cell_.strategy.kernel).name;
  }

 private:
  const Cell& cell_;
  TransportKind transport_;
  std::vector<CpuRank> ranks_;
};

/// Bytes of host memory of a replay on GPUs: outputs and log-sum-exp, those of the unsplit run when
/// the outputs are verified, and Q, K and V before their upload.
std::int64_t HostBytes(const Cell& cell, bool verify) {
  const std::int64_t tensor =
      cell.shape.tokens * cell.shape.heads * cell.shape.head_dim * BytesOf(cell.dtype());
  const std::int64_t lse = cell.shape.tokens * cell.shape.heads * std::int64_t{sizeof(float)};
  return (verify ? 5 : 4) * (tensor + lse);
}

}  // namespace

DType DTypeOn(const runtime::DeviceSpec& device) {
  return device.kind == runtime::DeviceKind::kCpu ? DType::kF32 : DType::kBf16;
}

ActivityReport CellRunner::Trace(const runtime::ActivityOptions&) {
  return {.problem = "CUPTI traces runs on a GPU only"};
}

int ConcurrentGroups(TransportKind transport, const Strategy& strategy) {
  return transport == TransportKind::kSerial ? 1 : strategy.cfg_degree;
}

std::unique_ptr<CellRunner> MakeRunner(const Cell& cell,
                                       const ExecutionTarget& target,
                                       bool verify,
                                       const VerifyOptions& limits,
                                       std::optional<std::int64_t> memory_limit) {
  const bool cpu = target.device.kind == runtime::DeviceKind::kCpu;
  const std::int64_t reference =
      verify ? ReferenceBytes(cell.shape, ThreadCount(limits.threads)) : 0;
  const std::int64_t bytes = cpu ? CellBytes(cell) : HostBytes(cell, verify);
  RequireMemory(ConcurrentGroups(target.transport, cell.strategy) * bytes + reference,
                memory_limit ? memory_limit : AvailableMemory());
  if (cpu) return std::make_unique<CpuRunner>(cell, target.transport);
  return target.transport == TransportKind::kNccl
             ? internal::MakeNcclRunner(cell, target, verify)
             : internal::MakeSerialGpuRunner(cell, target, verify);
}

}  // namespace dbsp::replay
