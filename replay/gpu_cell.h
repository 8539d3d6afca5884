// SPDX-License-Identifier: Apache-2.0
// What the GPU transports share: planning, device memory, outputs on the host, the unsplit run.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/gpu/attention.h"
#include "replay/cell.h"
#include "replay/rank_plan.h"
#include "replay/verify.h"
#include "runtime/cuda_stream.h"

namespace dbsp::replay {

/// Plans of all ranks in the layout of GPUs, made on the host's threads.
[[nodiscard]] std::vector<RankPlan> MakeDevicePlans(const Cell& cell);

/// errors  Error{kUnavailable} when `bytes` for `what` are more than the current device has free
void RequireDeviceMemory(std::int64_t bytes, const std::string& what);

/// O of every rank as bf16, and how often each block was written: what DeviceRank::Output gave.
class DeviceOutputs final : public HomeOutputs {
 public:
  /// Both must outlive this.
  DeviceOutputs(const Cell& cell,
                std::span<const Rank* const> ranks,
                const std::vector<std::vector<std::uint16_t>>& outputs)
      : cell_(cell), ranks_(ranks), outputs_(outputs) {}
  void Row(int head, std::int64_t token, std::span<float> row) const override;
  [[nodiscard]] int Writes(int head, int q_block) const override;
  /// bf16 [head_dim]
  [[nodiscard]] std::span<const std::uint16_t> Bits(int head, std::int64_t token) const;

 private:
  const Cell& cell_;
  std::span<const Rank* const> ranks_;
  const std::vector<std::vector<std::uint16_t>>& outputs_;
};

/// Device memory of UnsplitOutput.
[[nodiscard]] std::int64_t UnsplitBytes(const AttentionShape& shape, const LayerMasks& masks);

/// The layer as one launch over the tokens where they live, with lists straight from the masks: no
/// schedule, copy or merge has a part in it.
/// returns bf16 [tokens][heads][head_dim]
/// errors  as DeviceRank
[[nodiscard]] std::vector<std::uint16_t> UnsplitOutput(const Cell& cell,
                                                       const kernels::gpu::Variant& kernel,
                                                       const runtime::CudaStream& stream);

/// Verify() against fp64 and, where that passes, every row against the unsplit run:
/// result.unsplit_error is its relative Frobenius distance, held to the same limit.
[[nodiscard]] VerifyResult JudgeDeviceOutputs(const Cell& cell,
                                              const DeviceOutputs& outputs,
                                              std::span<const std::uint16_t> unsplit,
                                              const VerifyOptions& options);

}  // namespace dbsp::replay
