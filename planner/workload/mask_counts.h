// SPDX-License-Identifier: Apache-2.0
// Counts over bit-packed masks: active blocks of heads and rows, and the cells into which a ring
// splits a mask. Each distinct mask object of a layer is counted once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/matrix.h"
#include "core/shape.h"
#include "planner/workload/layer_counts.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {

/// Active blocks per head. `counts` are those of the layer if the caller has them.
[[nodiscard]] std::vector<std::int64_t> HeadCounts(const LayerMasks& masks,
                                                   const LayerCounts* counts = nullptr);

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
  /// Index step * ring + rank of the cell in which ring index `rank` computes column part `part`:
  /// at a step that is part - rank mod R, as in db-SP.
  [[nodiscard]] std::size_t CellOf(int rank, int part) const {
    const int step = steps_ == 1 ? 0 : (part - rank + ring_) % ring_;
    return static_cast<std::size_t>(step) * static_cast<std::size_t>(ring_) +
           static_cast<std::size_t>(rank);
  }
  /// Column part that holds a column.
  [[nodiscard]] std::size_t PartOf(std::size_t col) const;
  [[nodiscard]] const std::vector<WordBits>& part(int p) const { return parts_[p]; }
  [[nodiscard]] std::span<const std::vector<WordBits>> parts() const { return parts_; }
  /// Consecutive rows with one owner. None for ring = 1.
  struct RowRun {
    int begin = 0;
    int end = 0;
    int owner = 0;
  };
  [[nodiscard]] std::span<const RowRun> runs() const { return runs_; }
  /// Rows of one owner, ascending. Empty for ring = 1.
  [[nodiscard]] std::span<const int> RowsOf(int owner) const {
    return std::span(rows_).subspan(begin_[owner], begin_[owner + 1] - begin_[owner]);
  }
  [[nodiscard]] std::span<const int> row_owner() const { return row_owner_; }

 private:
  int ring_;
  int steps_;
  std::vector<int> row_owner_;
  std::vector<RowRun> runs_;
  std::vector<int> rows_;  ///< by owner
  std::vector<std::size_t> begin_;  ///< [owner + 1] in rows_
  std::vector<std::vector<WordBits>> parts_;
};

/// Work of one ring index at one step for one mask.
struct MaskCell {
  std::int64_t active_blocks = 0;
  std::int64_t pairs = 0;  ///< (query, key) token pairs of active blocks; short blocks exact
  std::int64_t active_rows = 0;  ///< rows with an active block
  std::int64_t active_tokens = 0;  ///< query tokens of active rows
  bool operator==(const MaskCell&) const = default;
};
/// scratch  any content; callers that count many masks keep it
/// returns  the cells at index step * ring + rank
[[nodiscard]] std::vector<MaskCell> CountCells(const AttentionShape& shape,
                                               const CountedMask& mask,
                                               const RingSplit& split,
                                               AlignedWords& scratch);

/// Columns in which the rows of a ring index have an active block: the K/V blocks that it needs.
/// returns  [ring index][word], bit j % 64 of word j / 64 for column j
[[nodiscard]] Matrix<std::uint64_t> NeededColumns(const CountedMask& mask, const RingSplit& split);

/// MaskCell::active_blocks alone.
[[nodiscard]] std::vector<std::int64_t> CountActiveBlocks(const CountedMask& mask,
                                                          const RingSplit& split);

}  // namespace dbsp::planner
