// SPDX-License-Identifier: Apache-2.0
// One rank's part of one cell, as a machine that a transport drives phase by phase:
//
//   Fill, Reset, then  for every round before:  Pack -> (exchange) -> Unpack
//                      for every ring step:     Attend, Merge, beside (hop to the next step)
//                      for every round after:   Pack -> (exchange) -> Unpack
//
// With heads in chunks, round c before, step c and round c after belong together, and the
// transports interleave the chunks; every round then has send and receive buffers of its own.
//
// Everything it does comes from planner::Schedule, so all families are the same code. It neither
// talks to other ranks nor looks at the clock: the transports in replay/transport.h do.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "replay/cell.h"
#include "replay/copy_plan.h"

namespace dbsp::replay {

/// What a rank really did since Reset(): counted where it happens, never taken from the plan.
struct ExecutedWork {
  std::vector<std::int64_t> packed_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> sent_bytes;  ///< [rounds] to other ranks
  std::vector<std::int64_t> unpacked_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> hop_bytes;  ///< [steps - 1] K/V received
  std::vector<std::int64_t> kept_blocks;  ///< [steps] (head, row, column) blocks computed
  std::vector<std::int64_t> merged_rows;  ///< [steps] (head, query token) rows merged
};

/// A collective's arguments as Communicator::AllToAllV takes them, in floats.
struct RoundBuffers {
  const float* send = nullptr;
  std::span<const std::int64_t> send_counts;
  std::span<const std::int64_t> send_offsets;
  float* recv = nullptr;
  std::span<const std::int64_t> recv_counts;
  std::span<const std::int64_t> recv_offsets;
};

/// A ring hop's arguments as Communicator::StartSendRecv takes them, in floats.
struct HopBuffers {
  const float* send = nullptr;
  std::int64_t send_count = 0;
  int dst = 0;
  float* recv = nullptr;
  std::int64_t recv_count = 0;
  int src = 0;
};

/// owns     its buffers; keeps a reference to the cell, which must outlive it
/// threads  one thread at a time; different ranks concurrently
class RankExecutor {
 public:
  /// Allocates, builds copy lists and attention lists.
  /// errors  Error{kInternal} when the lists contradict each other (a rank sends what it does not
  ///         hold, columns out of order); Error{kInvalidArgument} for an unknown kernel
  RankExecutor(const Cell& cell, int rank);

  /// Makes this rank's part of Q, K and V.
  void Fill();
  /// Poisons every buffer that a run must write with NaN and forgets what was counted.
  void Reset();

  void Pack(int round);
  [[nodiscard]] RoundBuffers Buffers(int round);
  void Unpack(int round);

  /// Attention on the K/V of `step`; step 0 writes the result, later ones a partial result.
  void Attend(int step);
  /// Merges the partial result of `step` into the result; nothing in step 0.
  void Merge(int step);
  /// The hop that fetches the K/V of `step` + 1 beside the attention of `step`.
  /// requires 0 <= step < steps - 1
  [[nodiscard]] HopBuffers Hop(int step);
  /// Call when the hop has completed: counts it and clears what pads the received blocks.
  void HopDone(int step);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] bool in_ring() const { return program_->ring_next >= 0; }
  /// False when this rank computes no row in the step and at most passes K/V on.
  [[nodiscard]] bool has_rows(int step) const;
  [[nodiscard]] const ExecutedWork& executed() const { return executed_; }
  /// O of a token that lives here. shape [head_dim]
  [[nodiscard]] std::span<const float> Output(int head, std::int64_t token) const;
  /// How often O of (head, query block) was written at home since Reset(): 1 when all is well.
  [[nodiscard]] int Writes(int head, int q_block) const;

 private:
  /// One head's attention call at one ring step.
  struct HeadCall {
    std::vector<std::int64_t> list_begin;
    std::vector<int> list;
    std::vector<int> k_tokens;
    std::int64_t k = 0;  ///< offset in the step's K/V buffer
    std::int64_t v = 0;
  };
  struct StepPlan {
    std::vector<HeadCall> head;  ///< as program_->heads
    std::int64_t floats = 0;  ///< K and V of all heads, exact tokens
  };
  struct HeadSlots {
    std::int64_t first = 0;  ///< row slots before this head's
    std::vector<int> q_tokens;
  };

  void PlanRows();
  void PlanSteps();
  void PlanHead(const planner::HeadRows& rows, const planner::HeadColumns& columns, HeadCall& call);
  void PlanRounds();
  void CountWrites(int round);
  void ClearSlack(int step);
  [[nodiscard]] PlaceMap Places(int round, bool source) const;
  [[nodiscard]] PlaceMap HomePlaces(int round, bool source) const;
  [[nodiscard]] PlaceMap ComputePlaces(bool source) const;
  [[nodiscard]] float* Base(int round, bool source);
  [[nodiscard]] std::int64_t Stride(int round, bool source) const;
  [[nodiscard]] bool IsHome(int round, bool source) const;
  /// Which of send_ and recv_ the round uses.
  [[nodiscard]] std::size_t BufferOf(int round) const;
  /// Whether the head's attention belongs to the step: always in a ring.
  [[nodiscard]] bool InStep(std::size_t head, int step) const;
  [[nodiscard]] float* StepKv(int step);
  [[nodiscard]] std::int64_t SlotFloats() const;

  const Cell* cell_;
  int rank_;
  const planner::RankProgram* program_;
  const kernels::AttentionVariant* kernel_;
  std::int64_t local_tokens_ = 0;
  std::int64_t first_token_ = 0;
  std::vector<HeadSlots> slots_;  ///< as program_->heads
  std::vector<StepPlan> steps_;
  std::vector<CopyPlan> rounds_;
  std::int64_t kv_floats_ = 0;  ///< one K/V buffer, slack included

  std::vector<float> home_in_;  ///< [Q, K, V][local tokens][heads][head_dim]
  std::vector<float> home_out_;  ///< [local tokens][heads][head_dim]
  std::vector<int> writes_;  ///< [local query blocks][heads]
  std::vector<float> blocks_;  ///< Q slots, then K/V buffers: one, two in a ring, one a chunk
  std::vector<float> o_, lse_, part_o_, part_lse_;  ///< [slots][block.q]([head_dim])
  std::vector<std::vector<float>> between_;  ///< [rounds] blocks between two rounds
  std::vector<std::vector<float>> send_, recv_;  ///< one, or with chunks [rounds]
  ExecutedWork executed_;
};

/// Why what the ranks did differs from the cell's LayerWork (bytes of every round and hop, blocks
/// computed, rows merged), naming rank, what, expected and found; "" when it does not.
[[nodiscard]] std::string WorkProblem(const Cell& cell, std::span<const RankExecutor> ranks);

}  // namespace dbsp::replay
