// SPDX-License-Identifier: Apache-2.0
// Sizes and contents of one rank's buffers as numbers: offsets of blocks, copy lists, lists of
// active blocks, counts. The code is pure: it allocates no buffer and calls no kernel. CPU and GPU
// ranks use the same numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "replay/cell.h"
#include "replay/copy_plan.h"

namespace dbsp::replay {

/// An index of a container from a number of blocks, rows or bytes.
inline std::size_t Index(std::int64_t value) { return static_cast<std::size_t>(value); }

/// Layout of the blocks of a rank's heads in memory. A short block has only the rows of its tokens.
enum class BlockLayout : std::uint8_t {
  /// Every head has its own number of query slots and of key tokens, without gaps. Attention is one
  /// call per head.
  kTight,
  /// All heads of a step have the same number of query slots and of key tokens. Attention is one
  /// launch for all heads (docs/design/0013-one-launch-for-ragged-heads.md).
  kUniform,
};

/// Attention of one head in one step.
struct HeadCall {
  std::vector<std::int64_t> list_begin;  ///< [rows + 1] into list
  std::vector<int> list;  ///< positions among the head's columns
  std::vector<int> k_tokens;  ///< [columns]
  std::int64_t k = 0;  ///< offset of the first column in the step's K/V buffer
  std::int64_t v = 0;
  int first_slot = 0;  ///< kUniform: number of key slots before the first column
};

/// Attention of one step: its heads and, with kUniform, their common shape.
struct StepPlan {
  std::vector<HeadCall> head;  ///< in the order of RankSchedule::heads
  std::vector<std::size_t> heads;  ///< heads of this step, indices into `head`
  std::int64_t elements = 0;  ///< of K and V of all heads; a ring hop sends exactly these
  int q_slots = 0;  ///< kUniform: query slots of every head
  int k_tokens = 0;  ///< kUniform: key tokens of every head; only the last slot may be short
};

/// Query slots of a head.
struct HeadSlots {
  std::int64_t first = 0;  ///< number of row slots before the first one of this head
  std::vector<int> q_tokens;  ///< [rows]
};

/// The memory of a rank that an exchange reads or writes.
enum class RankMemory : std::uint8_t { kHomeIn, kHomeOut, kBlocks, kResult, kStaging };
struct RoundMemory {
  RankMemory memory = RankMemory::kBlocks;
  int index = 0;  ///< kStaging: index of the round that wrote it
  std::int64_t stride = 0;  ///< elements between successive tokens
};

/// Counts and offsets of a round for communicators, in bytes.
struct RoundBytes {
  std::vector<std::int64_t> send_counts, send_offsets;  ///< [ranks]
  std::vector<std::int64_t> recv_counts, recv_offsets;  ///< [ranks]
};

/// Buffers of one rank. Offsets and sizes are in elements of the cell's type.
struct RankBuffers {
  const Cell* cell = nullptr;
  int rank = 0;
  BlockLayout layout = BlockLayout::kTight;
  std::int64_t first_token = 0;  ///< first token whose home is this rank
  std::int64_t local_tokens = 0;  ///< number of tokens whose home is this rank
  std::vector<HeadSlots> slots;  ///< in the order of RankSchedule::heads
  std::vector<StepPlan> steps;
  std::vector<CopyPlan> rounds;
  std::vector<RoundBytes> bytes;  ///< [rounds]

  std::int64_t home_elements = 0;  ///< of one tensor: [local tokens][heads][head_dim]
  std::int64_t row_slots = 0;  ///< query slots of all heads, in Q, O and LSE
  /// Elements of one K/V buffer. Includes one block of slack, because a kernel may read a whole
  /// block where the last one is short.
  std::int64_t kv_elements = 0;
  int kv_buffers = 1;  ///< two in a ring, one per chunk
  std::vector<std::int64_t> staging_elements;  ///< [rounds] blocks held between two rounds
  /// Size of each buffer: one buffer for all rounds, or with chunks one per round.
  std::vector<std::int64_t> send_elements, recv_elements;

  [[nodiscard]] const planner::RankSchedule& schedule() const;
  [[nodiscard]] std::int64_t slot_elements() const;  ///< elements of a query block
  [[nodiscard]] std::int64_t row_elements() const { return row_slots * slot_elements(); }
  /// Elements of the block memory: Q, then the K/V buffers.
  [[nodiscard]] std::int64_t block_elements() const;
  [[nodiscard]] std::int64_t StepKv(int step) const;  ///< offset in the block memory
  /// Index of the send and receive buffer that the round uses.
  [[nodiscard]] std::size_t BufferOf(int round) const;
  /// Memory that the round reads (`source`) or writes.
  [[nodiscard]] RoundMemory MemoryOf(int round, bool source) const;
  /// False when this rank computes no row in the step; it may still pass K/V on.
  [[nodiscard]] bool HasRows(int step) const;
  /// Bytes of `elements` in the cell's type.
  [[nodiscard]] std::int64_t Bytes(std::int64_t elements) const;
};

/// requires the cell outlives the result
/// errors   Error{kInternal} when the schedule contradicts itself (a rank sends a block that it
/// does
///          not hold, columns are not in ascending order)
[[nodiscard]] RankBuffers MakeRankBuffers(const Cell& cell, int rank, BlockLayout layout);

}  // namespace dbsp::replay
