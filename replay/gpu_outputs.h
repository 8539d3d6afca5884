// SPDX-License-Identifier: Apache-2.0
// Outputs of a cell that ran on GPUs, and their verification: against the fp64 reference and
// against a run of the whole layer in one launch on one GPU.
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

/// Buffers of all ranks of the cell in BlockLayout::kUniform. Uses all threads of the host.
[[nodiscard]] std::vector<RankBuffers> MakeGpuRankBuffers(const Cell& cell);

/// errors  Error{kUnavailable} naming `what` when the current device has less than `bytes` free
void RequireDeviceMemory(std::int64_t bytes, const std::string& what);

/// Results of all ranks after a run, copied to the host.
struct DeviceResults {
  std::vector<std::vector<std::uint16_t>> o;  ///< [ranks], GpuRank::Output
  std::vector<std::vector<float>> lse;  ///< [ranks], GpuRank::LogSumExp
};
/// Compares bit patterns, so that a NaN equals itself.
[[nodiscard]] bool SameBits(const DeviceResults& a, const DeviceResults& b);

class DeviceOutputs final : public HomeOutputs {
 public:
  /// The arguments must outlive this object.
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

/// Runs the layer in one attention launch over tensors of all tokens, with lists made from the
/// masks. It uses no schedule, copy or merge. errors  those of GpuRank
[[nodiscard]] UnsplitResults RunUnsplit(const Cell& cell,
                                        const kernels::gpu::Variant& kernel,
                                        const runtime::CudaStream& stream);

/// Verify() against the fp64 reference. When that passes, compares every row with the unsplit run:
/// result.unsplit_error is the relative Frobenius distance and result.unsplit_lse_error the largest
/// difference of log-sum-exp. The same limits apply.
[[nodiscard]] VerifyResult VerifyDeviceOutputs(const Cell& cell,
                                               const DeviceOutputs& outputs,
                                               const UnsplitResults& unsplit,
                                               const VerifyOptions& options);

}  // namespace dbsp::replay
