// SPDX-License-Identifier: Apache-2.0
// Which block lies where on a rank, and the copies and counts of an exchange that follow.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "planner/timeline/schedule.h"

namespace dbsp::replay {

/// Offsets of a rank's blocks in one memory.
class PlaceMap {
 public:
  void Add(const planner::BlockItem& item, std::int64_t offset) {
    places_.push_back({item, offset});
  }
  /// Call once after the last Add().
  void Sort();
  /// errors  Error{kInternal} when the item is not here; `what` says who asked
  [[nodiscard]] std::int64_t Find(const planner::BlockItem& item, const char* what, int rank) const;

 private:
  std::vector<std::pair<planner::BlockItem, std::int64_t>> places_;
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

/// Tokens that the items copy.
[[nodiscard]] std::int64_t TokensOf(std::span<const kernels::CopyItem> items);

/// Tokens of a block, and the first of them.
[[nodiscard]] int TokensOf(const AttentionShape& shape, const planner::BlockItem& item);
[[nodiscard]] std::int64_t FirstTokenOf(const AttentionShape& shape,
                                        const planner::BlockItem& item);

/// A name for errors: "K of head 3, block 7".
[[nodiscard]] std::string Describe(const planner::BlockItem& item);

/// Where the items that `rank` receives in `round` lie when they are kept one after the other.
[[nodiscard]] PlaceMap PackedPlaces(const AttentionShape& shape,
                                    const planner::ExchangeRound& round,
                                    int ranks,
                                    int rank);

/// errors  Error{kInternal} when a list names a block that `source` or `target` lacks
[[nodiscard]] CopyPlan MakeCopyPlan(const AttentionShape& shape,
                                    const planner::ExchangeRound& round,
                                    int ranks,
                                    int rank,
                                    const PlaceMap& source,
                                    const PlaceMap& target);

}  // namespace dbsp::replay
