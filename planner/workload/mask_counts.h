// SPDX-License-Identifier: Apache-2.0
// Counts over bit-packed masks: sums over rows and columns, and the cells into which a ring splits
// a mask. Each distinct mask object of a layer is counted once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/matrix.h"
#include "core/shape.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {

/// Active blocks per head, per row summed over heads, and per column summed over heads.
[[nodiscard]] std::vector<std::int64_t> HeadCounts(const LayerMasks& masks);
[[nodiscard]] std::vector<std::int64_t> RowSums(const LayerMasks& masks);
[[nodiscard]] std::vector<std::int64_t> ColumnSums(const LayerMasks& masks);

/// RowSums and ColumnSums of one layer, computed on first use, for callers that place the same
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

/// [rows] active blocks of one mask.
[[nodiscard]] std::vector<std::int32_t> RowCounts(const BlockMask& mask);

/// Division of rows and columns among a ring. The columns of each owner are a word mask. Zero words
/// are left out, so contiguous owners cost one pass over a row.
class RingSplit {
 public:
  /// shape    row_owner[rows], col_owner[cols] in [0, ring); both empty if ring = 1. With an empty
  ///          col_owner and ring > 1 every rank has every column, in one step.
  RingSplit(const AttentionShape& shape,
            std::span<const int> row_owner,
            std::span<const int> col_owner,
            int ring);

  [[nodiscard]] int ring() const { return ring_; }
  [[nodiscard]] int steps() const { return steps_; }
  [[nodiscard]] int RowOwner(int row) const { return row_owner_.empty() ? 0 : row_owner_[row]; }
  /// Column part that ring index `rank` computes at `step`: (rank + step) mod R, as in db-SP.
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

/// Work of every ring index at every step for one mask, at index step * ring + rank.
struct MaskCells {
  std::vector<std::int64_t> active_blocks;
  std::vector<std::int64_t>
      pairs;  ///< (query, key) token pairs of active blocks; short blocks exact
  std::vector<std::int64_t> active_rows;  ///< rows with an active block
  std::vector<std::int64_t> active_tokens;  ///< query tokens of active rows
};
[[nodiscard]] MaskCells CountCells(const AttentionShape& shape,
                                   const BlockMask& mask,
                                   const RingSplit& split);

/// Columns in which the rows of a ring index have an active block: the K/V blocks that it needs.
/// returns  [ring index][word], bit j % 64 of word j / 64 for column j
[[nodiscard]] Matrix<std::uint64_t> NeededColumns(const BlockMask& mask, const RingSplit& split);

/// MaskCells::active_blocks alone.
[[nodiscard]] std::vector<std::int64_t> CountActiveBlocks(const BlockMask& mask,
                                                          const RingSplit& split);

}  // namespace dbsp::planner
