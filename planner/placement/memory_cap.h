// SPDX-License-Identifier: Apache-2.0
// What the ranks of a placement under way hold, against a cap: PeakBytes of a partition that is not
// made yet.
#pragma once

#include <cstdint>
#include <vector>

#include "core/block_mask.h"
#include "planner/placement/row_owners.h"

namespace dbsp::planner {

/// Q and O of a rank's rows and K and V of the columns those rows keep (all columns where there are
/// no masks), every block at its full size: never less than PeakBytes.
class MemoryCap {
 public:
  struct Blocks {
    int heads = 0;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t ranks = 0;
    std::int64_t row_bytes = 0;  ///< Q and O of a row of one head
    std::int64_t column_bytes = 0;  ///< K and V of a column of one head
  };
  /// Rows [begin, end) of a head.
  struct Rows {
    std::size_t head = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  /// cap = 0: anything fits and nothing is counted. keeps the masks
  MemoryCap(const LayerMasks& masks, const Blocks& blocks, std::int64_t cap)
      : masks_(masks), blocks_(blocks), cap_(cap) {}

  void Start(const RowOwners& owner);
  /// Would `to` keep within the cap with those of the rows that are `from`'s?
  [[nodiscard]] bool Fits(const RowOwners& owner,
                          const Rows& rows,
                          std::size_t from,
                          std::size_t to) const;
  /// Counts a head again on two ranks between which rows of it went.
  void Moved(const RowOwners& owner, std::size_t head, std::size_t from, std::size_t to);
  [[nodiscard]] std::int64_t cap() const { return cap_; }
  [[nodiscard]] std::int64_t bytes(std::size_t rank) const { return bytes_[rank]; }
  /// A head's part of them.
  [[nodiscard]] std::int64_t bytes(std::size_t head, std::size_t rank) const {
    return held_[head * blocks_.ranks + rank];
  }
  /// Rank that holds most.
  [[nodiscard]] std::size_t Fullest() const;

 private:
  /// Bytes of a head on a rank that has its own rows and those of `from` among `more`.
  [[nodiscard]] std::int64_t Count(const RowOwners& owner,
                                   std::size_t rank,
                                   const Rows& more,
                                   std::size_t from) const;

  const LayerMasks& masks_;
  Blocks blocks_;
  std::int64_t cap_;
  std::vector<std::int64_t> held_;  ///< [head][rank]
  std::vector<std::int64_t> bytes_;  ///< [rank]
};

}  // namespace dbsp::planner
