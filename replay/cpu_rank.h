// SPDX-License-Identifier: Apache-2.0
// A rank on a CPU: fp32 memory and the kernels of kernels/attention.h and kernels/memory.h.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/plugin.h"
#include "replay/rank.h"

namespace dbsp::replay {

/// owns     its buffers; keeps a reference to the cell, which must outlive it
/// threads  those of Rank
class CpuRank final : public Rank {
 public:
  /// Allocates, builds copy lists and attention lists.
  /// errors  Error{kInternal} of MakeRankBuffers; Error{kInvalidArgument} for an unknown kernel;
  ///         Error{kMismatch} for a ring with a kernel without log-sum-exp; those of PluginCall
  CpuRank(const Cell& cell, int rank);

  /// Generates this rank's part of Q, K and V. Call it once, before the first run.
  void Fill();
  /// O of a token whose home is this rank. shape [head_dim]
  [[nodiscard]] std::span<const float> Output(int head, std::int64_t token) const;
  /// Natural log-sum-exp of the rows that this rank computed, [row slots][block.q].
  [[nodiscard]] std::span<const float> log_sum_exp() const { return lse_; }
  [[nodiscard]] std::span<std::byte> SendBytes(std::size_t index) override {
    return std::as_writable_bytes(std::span(send_[index]));
  }
  [[nodiscard]] std::span<std::byte> RecvBytes(std::size_t index) override {
    return std::as_writable_bytes(std::span(recv_[index]));
  }
  [[nodiscard]] std::span<std::byte> KvBytes(int step) override;

 private:
  void PoisonMemory() override;
  void PackBlocks(int round) override;
  void UnpackBlocks(int round) override;
  void RunAttention(int step) override;
  void RunMerge(int step) override;
  void OnHop(int step) override { ClearSlack(step); }

  [[nodiscard]] float* Kv(int step) { return blocks_.data() + buffers().StepKv(step); }
  void ClearSlack(int step);
  [[nodiscard]] float* Base(const RoundMemory& memory);

  [[nodiscard]] kernels::AttentionArgs ArgsOf(int step, std::size_t head);
  void PrepareCalls();

  const kernels::AttentionVariant* kernel_;
  /// [step][head] prepared calls of a plugin's kernel; empty for dbsp's own kernels, and null where
  /// a head has no rows.
  std::vector<std::vector<std::unique_ptr<const kernels::PluginCall>>> prepared_;
  std::vector<float> home_in_;  ///< [Q, K, V][local tokens][heads][head_dim]
  std::vector<float> home_out_;  ///< [local tokens][heads][head_dim]
  std::vector<float> blocks_;  ///< Q slots, then K/V buffers
  std::vector<float> o_, lse_, part_o_, part_lse_;  ///< [slots][block.q]([head_dim])
  std::vector<std::vector<float>> staging_;  ///< [rounds] blocks held between two rounds
  std::vector<std::vector<float>> send_, recv_;
};

}  // namespace dbsp::replay
