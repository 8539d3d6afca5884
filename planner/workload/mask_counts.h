// SPDX-License-Identifier: Apache-2.0
// Counts over bit-packed masks, word by word: marginals, and the cells a split makes of a mask.
// Each distinct mask object of a layer is counted once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {

/// Active blocks per head, per row summed over the heads, per column summed over the heads.
[[nodiscard]] std::vector<std::int64_t> HeadCounts(const LayerMasks& masks);
[[nodiscard]] std::vector<std::int64_t> RowSums(const LayerMasks& masks);
[[nodiscard]] std::vector<std::int64_t> ColumnSums(const LayerMasks& masks);

/// RowSums and ColumnSums of one layer, made when first asked for, for callers that place the same
/// masks several times. Keeps a reference to the masks. threads  one
class MaskSums {
 public:
  explicit MaskSums(const LayerMasks& masks) : masks_(masks) {}
  [[nodiscard]] const std::vector<std::int64_t>& rows();
  [[nodiscard]] const std::vector<std::int64_t>& columns();

 private:
  const LayerMasks& masks_;
  std::optional<std::vector<std::int64_t>> rows_;
  std::optional<std::vector<std::int64_t>> columns_;
};

/// Active blocks of every row, [rows]: one mask's part of RowSums.
[[nodiscard]] std::vector<std::int32_t> RowCounts(const BlockMask& mask);

/// How a group's ring splits rows and columns: columns as word masks per owner, zero words left out
/// so that contiguous owners cost one pass over a row.
class RingSplit {
 public:
  /// shape    row_owner[rows], col_owner[cols] in [0, ring); both empty when ring = 1
  /// Empty col_owner with ring > 1: every rank has every column (one step).
  RingSplit(const AttentionShape& shape,
            std::span<const int> row_owner,
            std::span<const int> col_owner,
            int ring);

  [[nodiscard]] int ring() const { return ring_; }
  [[nodiscard]] int steps() const { return steps_; }
  [[nodiscard]] int RowOwner(int row) const { return row_owner_.empty() ? 0 : row_owner_[row]; }
  /// Column part that ring index `rank` works on at `step`: db-SP's (i + t) mod R.
  [[nodiscard]] int PartAt(int rank, int step) const {
    return steps_ == 1 ? 0 : (rank + step) % ring_;
  }
  [[nodiscard]] const std::vector<WordBits>& part(int p) const { return parts_[p]; }
  [[nodiscard]] std::span<const std::vector<WordBits>> parts() const { return parts_; }

 private:
  int ring_;
  int steps_;
  std::vector<int> row_owner_;
  std::vector<std::vector<WordBits>> parts_;
};

/// What each rank of the ring computes at each step for one mask, index step * ring + rank.
struct MaskCells {
  std::vector<std::int64_t> kept;  ///< blocks
  std::vector<std::int64_t> pairs;  ///< (query, key) token pairs, tails exact
  std::vector<std::int64_t> active_rows;  ///< rows with a column here
  std::vector<std::int64_t> active_tokens;  ///< query tokens of those rows
};
[[nodiscard]] MaskCells CountCells(const AttentionShape& shape,
                                   const BlockMask& mask,
                                   const RingSplit& split);

/// Columns that a ring index's rows keep: the K/V blocks it cannot do without.
/// returns  words [ring * words_per_row]: bit j % 64 of word index * words_per_row + j / 64
[[nodiscard]] std::vector<std::uint64_t> NeededColumns(const BlockMask& mask,
                                                       const RingSplit& split);

/// CountCells' active blocks alone.
[[nodiscard]] std::vector<std::int64_t> CountActiveBlocks(const BlockMask& mask,
                                                          const RingSplit& split);

}  // namespace dbsp::planner
