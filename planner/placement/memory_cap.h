// SPDX-License-Identifier: Apache-2.0
// Bytes that the ranks of an unfinished placement hold, against a limit: PeakBytes of a partition
// that does not exist yet.
#pragma once

#include <cstdint>
#include <vector>

#include "core/block_mask.h"
#include "core/matrix.h"
#include "planner/placement/row_owners.h"

namespace dbsp::planner {

/// Counts Q and O of a rank's rows and K and V of the columns that those rows need (all columns
/// without masks). Every block counts with its full size, so the result is never below PeakBytes.
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

  /// With cap = 0 everything fits and nothing is counted. keeps the masks
  MemoryCap(const LayerMasks& masks, const Blocks& blocks, std::int64_t cap)
      : masks_(masks), blocks_(blocks), cap_(cap) {}

  void Start(const RowOwners& owner);
  /// Whether `to` stays within the cap if it gets those of the rows that belong to `from`.
  [[nodiscard]] bool Fits(const RowOwners& owner,
                          const Rows& rows,
                          std::size_t from,
                          std::size_t to) const;
  /// Updates the bytes of a head on two ranks after rows of it moved between them.
  void Moved(const RowOwners& owner, std::size_t head, std::size_t from, std::size_t to);
  [[nodiscard]] std::int64_t cap() const { return cap_; }
  [[nodiscard]] std::int64_t bytes(std::size_t rank) const { return bytes_[rank]; }
  /// Bytes of one head on a rank.
  [[nodiscard]] std::int64_t bytes(std::size_t head, std::size_t rank) const {
    return held_(head, rank);
  }
  /// Rank that holds the most bytes.
  [[nodiscard]] std::size_t Fullest() const;

 private:
  /// Bytes of a head on `rank` if it holds its own rows and those of `from` among `more`.
  [[nodiscard]] std::int64_t Count(const RowOwners& owner,
                                   std::size_t rank,
                                   const Rows& more,
                                   std::size_t from) const;

  const LayerMasks& masks_;
  Blocks blocks_;
  std::int64_t cap_;
  Matrix<std::int64_t> held_;  ///< [head][rank]
  std::vector<std::int64_t> bytes_;  ///< [rank]
};

}  // namespace dbsp::planner
