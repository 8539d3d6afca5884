// SPDX-License-Identifier: Apache-2.0
// One rank's part of one cell. A transport calls its phases in this order:
//
//   Reset, then  for every round before attention:  Pack -> (exchange) -> Unpack
//                for every ring step:  Attend, Merge, concurrently with (hop to the next step)
//                for every round after attention:   Pack -> (exchange) -> Unpack
//
// With heads in chunks, round c before attention, step c and round c after attention belong to
// chunk c. Transports interleave the chunks, and every round has its own send and receive buffers.
//
// A rank follows planner::Schedule (replay/rank_buffers.h), so the code is the same for all
// strategy families. Communication and timing belong to the transports. Derived classes provide
// memory and kernels: CpuRank those of a CPU, GpuRank those of a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "replay/rank_buffers.h"

namespace dbsp::replay {

/// Work that a rank executed since Reset(). It is counted during execution, not taken from the
/// plan.
struct ExecutedWork {
  std::vector<std::int64_t> packed_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> sent_bytes;  ///< [rounds] to other ranks
  std::vector<std::int64_t> unpacked_bytes;  ///< [rounds] local copies included
  std::vector<std::int64_t> hop_bytes;  ///< [steps - 1] K/V received
  std::vector<std::int64_t> active_blocks;  ///< [steps] (head, row, column) blocks computed
  std::vector<std::int64_t> merged_rows;  ///< [steps] (head, query token) rows merged
};

/// Arguments of Communicator::AllToAllV for one round. Counts and offsets are in bytes.
struct RoundBuffers {
  std::span<const std::byte> send;
  std::span<const std::int64_t> send_counts;
  std::span<const std::int64_t> send_offsets;
  std::span<std::byte> recv;
  std::span<const std::int64_t> recv_counts;
  std::span<const std::int64_t> recv_offsets;
};

/// Arguments of Communicator::StartSendRecv for one ring hop.
struct HopBuffers {
  std::span<const std::byte> send;
  int dst = 0;
  std::span<std::byte> recv;
  int src = 0;
};

/// threads  not safe for concurrent calls on one rank; different ranks may run concurrently
class Rank {
 public:
  virtual ~Rank() = default;

  /// Fills every buffer that a run must write with NaN and resets the counters.
  void Reset();
  void Pack(int round);
  [[nodiscard]] RoundBuffers ExchangeBuffers(int round);
  void Unpack(int round);
  /// Attention on the K/V of `step`. Step 0 writes the result, later steps a partial result.
  void Attend(int step);
  /// Merges the partial result of `step` into the result; does nothing in step 0.
  void Merge(int step);
  /// The hop that receives the K/V of `step` + 1 during the attention of `step`.
  /// requires 0 <= step < steps - 1
  [[nodiscard]] HopBuffers Hop(int step);
  /// Counts the hop. Call it when the hop has completed.
  void HopDone(int step);

  [[nodiscard]] int rank() const { return buffers_.rank; }
  [[nodiscard]] bool in_ring() const { return buffers_.schedule().ring_next >= 0; }
  /// False when this rank computes no row in the step; it may still pass K/V on.
  [[nodiscard]] bool has_rows(int step) const { return buffers_.HasRows(step); }
  [[nodiscard]] const ExecutedWork& executed() const { return executed_; }
  /// Number of times that O of (head, query block) was written at home since Reset(); 1 in a
  /// correct run.
  [[nodiscard]] int Writes(int head, int q_block) const;
  [[nodiscard]] const RankBuffers& buffers() const { return buffers_; }
  /// Send buffer `index` and receive buffer `index`.
  [[nodiscard]] virtual std::span<std::byte> SendBytes(std::size_t index) = 0;
  [[nodiscard]] virtual std::span<std::byte> RecvBytes(std::size_t index) = 0;
  /// The K/V of `step`, without the slack behind them.
  [[nodiscard]] virtual std::span<std::byte> KvBytes(int step) = 0;

 protected:
  explicit Rank(RankBuffers buffers);
  Rank(Rank&&) = default;
  Rank& operator=(Rank&&) = default;

  virtual void PoisonMemory() = 0;
  virtual void PackBlocks(int round) = 0;
  virtual void UnpackBlocks(int round) = 0;
  /// Called only for steps in which this rank computes rows.
  virtual void RunAttention(int step) = 0;
  /// Called only for steps after the first in which this rank computes rows.
  virtual void RunMerge(int step) = 0;
  /// Called when the K/V of `step` have arrived.
  virtual void OnHop(int /*step*/) {}

 private:
  void CountWrites(int round);

  RankBuffers buffers_;
  ExecutedWork executed_;
  std::vector<int> writes_;  ///< [local query blocks][heads]
};

/// Pointers to the base class of every rank.
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
