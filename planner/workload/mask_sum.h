// SPDX-License-Identifier: Apache-2.0
// The sum of the masks of one head group, bit-sliced. What a division of rows and columns does to a
// group depends on this sum alone. A pass over the sum of 40 masks takes as long as a pass over 6
// masks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "planner/workload/distinct_masks.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {

class MaskSum {
 public:
  /// Sum over the masks of (heads that share the mask) * mask.
  /// requires at least one mask, all of one size
  explicit MaskSum(std::span<const DistinctMask> masks);

  [[nodiscard]] int rows() const { return rows_; }
  [[nodiscard]] int cols() const { return cols_; }

  /// [row * parts + k] active blocks of the row in columns with owner k.
  /// requires col_owner has cols() entries in [0, parts)
  [[nodiscard]] std::vector<std::int64_t> RowParts(std::span<const int> col_owner, int parts) const;
  /// [col * parts + k] active blocks of the column in rows with owner k.
  /// requires row_owner has rows() entries in [0, parts)
  [[nodiscard]] std::vector<std::int64_t> ColumnParts(std::span<const int> row_owner,
                                                      int parts) const;

 private:
  int rows_;
  int cols_;
  std::size_t words_;  ///< of a row of one plane
  std::size_t planes_ = 0;
  std::size_t pitch_ = 0;  ///< rows, rounded up to whole vectors
  std::vector<std::uint64_t> bits_;  ///< [row][plane][word]
  AlignedWords by_word_;  ///< [plane][word][pitch] the same bits
};

}  // namespace dbsp::planner
