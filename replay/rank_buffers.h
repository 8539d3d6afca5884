// SPDX-License-Identifier: Apache-2.0
// What one rank of a cell does and where its blocks lie, as numbers: offsets, copy lists, lists of
// active blocks, counts. Pure: no memory is touched and no kernel is called, so that a CPU and a
// GPU run the same plan.
#pragma once

#include <cstdint>
#include <vector>

#include "replay/cell.h"
#include "replay/copy_plan.h"

namespace dbsp::replay {

/// How the blocks of a rank's heads lie in memory. A short block's rows end where its tokens do.
enum class BlockLayout : std::uint8_t {
  /// Every head has its own number of query slots and of key tokens, nothing between them: one
  /// attention call per head.
  kTight,
  /// All heads of a step have the same number of query slots and of key tokens, so that one launch
  /// takes them all (docs/design/0013-one-launch-for-ragged-heads.md).
  kUniform,
};

/// One head's attention call at one step.
struct HeadCall {
  std::vector<std::int64_t> list_begin;  ///< [rows + 1] into list
  std::vector<int> list;  ///< positions among the head's columns
  std::vector<int> k_tokens;  ///< [columns]
  std::int64_t k = 0;  ///< offset of the first column in the step's K/V buffer
  std::int64_t v = 0;
  int first_slot = 0;  ///< kUniform: key slots before the first column
};

/// Attention of one step: the heads that take part, and with kUniform their common shape.
struct StepPlan {
  std::vector<HeadCall> head;  ///< as RankSchedule::heads
  std::vector<std::size_t> heads;  ///< that take part, indices into `head`
  std::int64_t elements = 0;  ///< K and V of all heads; a ring passes exactly these on
  int q_slots = 0;  ///< kUniform: query slots of every head
  int k_tokens = 0;  ///< kUniform: key tokens of every head; only the last slot may be short
};

/// Where a head's query blocks lie.
struct HeadSlots {
  std::int64_t first = 0;  ///< row slots before this head's
  std::vector<int> q_tokens;  ///< [rows]
};

/// Which memory of a rank an exchange reads or writes.
enum class RankMemory : std::uint8_t { kHomeIn, kHomeOut, kBlocks, kResult, kStaging };
struct RoundMemory {
  RankMemory memory = RankMemory::kBlocks;
  int index = 0;  ///< kStaging: of the round that wrote it
  std::int64_t stride = 0;  ///< elements between successive tokens
};

/// Counts and offsets of a round in words of 4 bytes, as communicators take them.
struct RoundWords {
  std::vector<std::int64_t> send_counts, send_offsets;  ///< [ranks]
  std::vector<std::int64_t> recv_counts, recv_offsets;  ///< [ranks]
};

/// Offsets and sizes are in elements of the cell's type.
struct RankBuffers {
  const Cell* cell = nullptr;
  int rank = 0;
  BlockLayout layout = BlockLayout::kTight;
  std::int64_t first_token = 0;  ///< at home
  std::int64_t local_tokens = 0;
  std::vector<HeadSlots> slots;  ///< as RankSchedule::heads
  std::vector<StepPlan> steps;
  std::vector<CopyPlan> rounds;
  std::vector<RoundWords> words;  ///< [rounds]

  std::int64_t home_elements = 0;  ///< of one tensor: [local tokens][heads][head_dim]
  std::int64_t row_slots = 0;  ///< query slots of all heads; Q, O and LSE have them
  std::int64_t kv_elements = 0;  ///< one K/V buffer, a block of slack included
  int kv_buffers = 1;  ///< two in a ring, one a chunk
  std::vector<std::int64_t> between_elements;  ///< [rounds] kept between two rounds
  /// One buffer each, or with chunks one a round.
  std::vector<std::int64_t> send_elements, recv_elements;

  [[nodiscard]] const planner::RankSchedule& program() const;
  [[nodiscard]] std::int64_t slot_elements() const;  ///< of a query block
  [[nodiscard]] std::int64_t row_elements() const { return row_slots * slot_elements(); }
  /// Blocks memory: Q, then the K/V buffers.
  [[nodiscard]] std::int64_t block_elements() const;
  [[nodiscard]] std::int64_t StepKv(int step) const;  ///< offset in the blocks memory
  /// Which of the send and receive buffers the round uses.
  [[nodiscard]] std::size_t BufferOf(int round) const;
  [[nodiscard]] RoundMemory MemoryOf(int round, bool source) const;
  /// False when this rank computes no row in the step and at most passes K/V on.
  [[nodiscard]] bool HasRows(int step) const;
  /// Bytes of `elements` in the cell's type.
  [[nodiscard]] std::int64_t Bytes(std::int64_t elements) const;
};

/// requires the cell outlives the plan
/// errors   Error{kInternal} when the lists contradict each other (a rank sends what it does not
///          hold, columns out of order)
[[nodiscard]] RankBuffers MakeRankPlan(const Cell& cell, int rank, BlockLayout layout);

}  // namespace dbsp::replay
