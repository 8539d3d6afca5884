// SPDX-License-Identifier: Apache-2.0
// What the GPU transports share: planning, device memory, outputs on the host, the unsplit run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/gpu/attention.h"
#include "replay/cell.h"
#include "replay/rank_buffers.h"
#include "replay/verify.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::replay {

/// Plans of all ranks in the layout of GPUs, made on the host's threads.
[[nodiscard]] std::vector<RankBuffers> MakeDevicePlans(const Cell& cell);

/// errors  Error{kUnavailable} when `bytes` for `what` are more than the current device has free
void RequireDeviceMemory(std::int64_t bytes, const std::string& what);

/// What the ranks' memory held after a run, as GpuRank gives it.
struct DeviceResults {
  std::vector<std::vector<std::uint16_t>> o;  ///< [ranks] at home
  std::vector<std::vector<float>> lse;  ///< [ranks] where rows were computed
};
/// Bit by bit: a NaN is equal to itself.
[[nodiscard]] bool SameBits(const DeviceResults& a, const DeviceResults& b);

class DeviceOutputs final : public HomeOutputs {
 public:
  /// All must outlive this.
  DeviceOutputs(const Cell& cell, std::span<const Rank* const> ranks, const DeviceResults& results)
      : cell_(cell), ranks_(ranks), index_(cell, ranks), results_(results) {}
  void Row(int head, std::int64_t token, std::span<float> row) const override;
  [[nodiscard]] float LogSumExp(int head, std::int64_t token) const override;
  [[nodiscard]] int Writes(int head, int q_block) const override;
  /// bf16 [head_dim]
  [[nodiscard]] std::span<const std::uint16_t> Bits(int head, std::int64_t token) const;

 private:
  const Cell& cell_;
  std::span<const Rank* const> ranks_;
  RowIndex index_;
  const DeviceResults& results_;
};

struct UnsplitResults {
  std::vector<std::uint16_t> o;  ///< bf16 [tokens][heads][head_dim]
  std::vector<float> lse;  ///< [heads][tokens]
};

/// Device memory of RunUnsplit.
[[nodiscard]] std::int64_t UnsplitBytes(const AttentionShape& shape, const LayerMasks& masks);

/// The layer as one launch over the tokens where they live, with lists straight from the masks: no
/// schedule, copy or merge has a part in it.
/// errors  as GpuRank
[[nodiscard]] UnsplitResults RunUnsplit(const Cell& cell,
                                        const kernels::gpu::Variant& kernel,
                                        const runtime::CudaStream& stream);

/// Verify() against fp64 and, where that passes, every row against the unsplit run:
/// result.unsplit_error is its relative Frobenius distance and result.unsplit_lse_error the largest
/// difference of log-sum-exp, held to the same limits.
[[nodiscard]] VerifyResult JudgeDeviceOutputs(const Cell& cell,
                                              const DeviceOutputs& outputs,
                                              const UnsplitResults& unsplit,
                                              const VerifyOptions& options);

}  // namespace dbsp::replay
