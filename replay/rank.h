// SPDX-License-Identifier: Apache-2.0
// One rank's part of one cell, as a machine that a transport drives phase by phase:
//
//   Reset, then  for every round before:  Pack -> (exchange) -> Unpack
//                for every ring step:     Attend, Merge, beside (hop to the next step)
//                for every round after:   Pack -> (exchange) -> Unpack
//
// With heads in chunks, round c before, step c and round c after belong together, and the
// transports interleave the chunks; every round then has send and receive buffers of its own.
//
// Everything it does comes from planner::Schedule (replay/rank_buffers.h), so all families are the
// same code. It neither talks to other ranks nor looks at the clock: transports do. Whoever derives
// brings memory and kernels: CpuRank a CPU's, GpuRank a GPU's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "replay/rank_buffers.h"

namespace dbsp::replay {

/// What a rank really did since Reset(): counted where it happens, never taken from the plan.
struct ExecutedWork {
  std::vector<std::int64_t> packed_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> sent_bytes;  ///< [rounds] to other ranks
  std::vector<std::int64_t> unpacked_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> hop_bytes;  ///< [steps - 1] K/V received
  std::vector<std::int64_t> active_blocks;  ///< [steps] (head, row, column) blocks computed
  std::vector<std::int64_t> merged_rows;  ///< [steps] (head, query token) rows merged
};

/// A collective's arguments as Communicator::AllToAllV takes them, in words of 4 bytes.
struct RoundBuffers {
  const float* send = nullptr;
  std::span<const std::int64_t> send_counts;
  std::span<const std::int64_t> send_offsets;
  float* recv = nullptr;
  std::span<const std::int64_t> recv_counts;
  std::span<const std::int64_t> recv_offsets;
};

/// A ring hop's arguments as Communicator::StartSendRecv takes them, in words of 4 bytes.
struct HopBuffers {
  const float* send = nullptr;
  std::int64_t send_count = 0;
  int dst = 0;
  float* recv = nullptr;
  std::int64_t recv_count = 0;
  int src = 0;
};

/// threads  one thread at a time; different ranks concurrently
class Rank {
 public:
  virtual ~Rank() = default;

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
  /// Call when the hop has completed: counts it.
  void HopDone(int step);

  [[nodiscard]] int rank() const { return plan_.rank; }
  [[nodiscard]] bool in_ring() const { return plan_.program().ring_next >= 0; }
  /// False when this rank computes no row in the step and at most passes K/V on.
  [[nodiscard]] bool has_rows(int step) const { return plan_.HasRows(step); }
  [[nodiscard]] const ExecutedWork& executed() const { return executed_; }
  /// How often O of (head, query block) was written at home since Reset(): 1 when all is well.
  [[nodiscard]] int Writes(int head, int q_block) const;
  [[nodiscard]] const RankBuffers& plan() const { return plan_; }
  /// Send and receive buffer `index`, and the K/V of `step`, as words.
  [[nodiscard]] virtual float* SendWords(std::size_t index) = 0;
  [[nodiscard]] virtual float* RecvWords(std::size_t index) = 0;
  [[nodiscard]] virtual float* KvWords(int step) = 0;

 protected:
  explicit Rank(RankBuffers plan);
  Rank(Rank&&) = default;
  Rank& operator=(Rank&&) = default;

  virtual void PoisonMemory() = 0;
  virtual void PackBlocks(int round) = 0;
  virtual void UnpackBlocks(int round) = 0;
  /// Called for steps with rows only.
  virtual void RunAttention(int step) = 0;
  /// Called for steps with rows and with something to merge into.
  virtual void RunMerge(int step) = 0;
  /// K/V of `step` have arrived.
  virtual void OnHop(int /*step*/) {}

 private:
  void CountWrites(int round);

  RankBuffers plan_;
  ExecutedWork executed_;
  std::vector<int> writes_;  ///< [local query blocks][heads]
};

/// Why what the ranks did differs from the cell's LayerVolumes (bytes of every round and hop,
/// blocks computed, rows merged), naming rank, what, expected and found; "" when it does not.
[[nodiscard]] std::string WorkProblem(const Cell& cell, std::span<const Rank* const> ranks);

/// Pointers to ranks of one kind, as transports and checks take them.
template <class R>
[[nodiscard]] std::vector<Rank*> RanksOf(std::span<R> ranks) {
  std::vector<Rank*> pointers;
  for (R& rank : ranks) pointers.push_back(&rank);
  return pointers;
}
template <class R>
[[nodiscard]] std::vector<const Rank*> RanksOf(std::span<const R> ranks) {
  std::vector<const Rank*> pointers;
  for (const R& rank : ranks) pointers.push_back(&rank);
  return pointers;
}

}  // namespace dbsp::replay
