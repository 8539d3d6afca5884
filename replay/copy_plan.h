// SPDX-License-Identifier: Apache-2.0
// Offsets of the blocks in a rank's memory, and the copies and counts of one exchange round.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/memory.h"
#include "planner/timeline/schedule.h"

namespace dbsp::replay {

/// Offsets of a rank's blocks in one memory.
class BlockOffsets {
 public:
  void Add(const planner::BlockItem& item, std::int64_t offset) {
    offsets_.push_back({item, offset});
  }
  /// Call once after the last Add().
  void Sort();
  /// Offset of the item's first element.
  /// what    verb for the message, such as "sends"
  /// errors  Error{kInternal} when the item is not in this memory
  [[nodiscard]] std::int64_t Find(const planner::BlockItem& item, const char* what, int rank) const;

 private:
  std::vector<std::pair<planner::BlockItem, std::int64_t>> offsets_;
};

/// One rank's copies and counts of one round, offsets and counts in elements.
struct CopyPlan {
  std::vector<kernels::CopyItem> pack;  ///< from the source memory into the send buffer
  std::vector<kernels::CopyItem> unpack;  ///< from the receive buffer into the target memory
  std::vector<std::int64_t> send_counts, send_offsets;  ///< [ranks]
  std::vector<std::int64_t> recv_counts, recv_offsets;  ///< [ranks]
  [[nodiscard]] std::int64_t SendElements() const { return Total(send_counts); }
  [[nodiscard]] std::int64_t RecvElements() const { return Total(recv_counts); }

 private:
  [[nodiscard]] static std::int64_t Total(const std::vector<std::int64_t>& counts);
};

/// Sum of the tokens of all items.
[[nodiscard]] std::int64_t TokensOf(std::span<const kernels::CopyItem> items);

/// Number of tokens of a block.
[[nodiscard]] int TokensOf(const AttentionShape& shape, const planner::BlockItem& item);
/// Index of the block's first token.
[[nodiscard]] std::int64_t FirstTokenOf(const AttentionShape& shape,
                                        const planner::BlockItem& item);

/// Name for messages: "K of head 3, block 7".
[[nodiscard]] std::string Describe(const planner::BlockItem& item);

/// Offsets of the items that `rank` receives in `round`, stored one after the other.
[[nodiscard]] BlockOffsets PackedOffsets(const AttentionShape& shape,
                                         const planner::ExchangeRound& round,
                                         int ranks,
                                         int rank);

/// Copies and counts of `rank` in `round`, from memory `source` to memory `target`.
/// errors  Error{kInternal} when the round names a block that `source` or `target` does not hold
[[nodiscard]] CopyPlan MakeCopyPlan(const AttentionShape& shape,
                                    const planner::ExchangeRound& round,
                                    int ranks,
                                    int rank,
                                    const BlockOffsets& source,
                                    const BlockOffsets& target);

}  // namespace dbsp::replay
