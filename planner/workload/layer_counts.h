// SPDX-License-Identifier: Apache-2.0
// Counts of the masks of one layer that do not depend on a placement. Callers that place or price
// the same masks many times make them once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/block_mask.h"
#include "planner/workload/mask_sum.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {

/// Loads with a row price are in units of 1 / kLoadUnit block.
constexpr double kLoadUnit = 16;
/// Load of a row with `blocks` active blocks: they and, if there are any, the price of a row, in
/// units of 1 / kLoadUnit block. requires row_price > 0
[[nodiscard]] constexpr std::int32_t PricedLoad(std::int32_t blocks, double row_price) {
  return blocks == 0 ? 0 : static_cast<std::int32_t>(kLoadUnit * (blocks + row_price) + 0.5);
}

/// Rows whose needed columns are joined in CountedMask::needs.
inline constexpr std::size_t kNeedRows = 16;

/// One mask with its counts. Keeps a reference to the mask.
struct CountedMask {
  explicit CountedMask(const BlockMask& counted);
  CountedMask(const CountedMask&) = delete;
  CountedMask& operator=(const CountedMask&) = delete;

  const BlockMask* mask;
  std::size_t words = 0;  ///< of a row
  std::size_t pitch = 0;  ///< rows, rounded up to whole vectors
  AlignedWords by_word;  ///< [word][pitch] that word of every row; 0 after the last
  std::vector<std::int32_t> row_blocks;  ///< [row] active blocks
  std::vector<std::uint64_t> needs;  ///< [row / kNeedRows][word] columns that these rows need
  std::int64_t active_blocks = 0;
  std::int64_t active_rows = 0;  ///< rows with an active block
  std::vector<int> last_column;  ///< rows in which the last column is active
};

/// The counted masks of one layer. Keeps references to the masks.
/// threads  safe concurrently
class LayerCounts {
 public:
  explicit LayerCounts(const LayerMasks& masks);

  /// requires a mask object of the layer. Layers that hold some of the same objects (the heads of a
  /// chunk) may use these counts, too.
  [[nodiscard]] const CountedMask& Of(const BlockMask* mask) const;

  /// Active blocks per row and per column, summed over the heads of `masks`. Sums over the whole
  /// layer are made once. requires masks of the layer
  [[nodiscard]] std::vector<std::int64_t> RowSums(const LayerMasks& masks) const;
  [[nodiscard]] std::vector<std::int64_t> ColumnSums(const LayerMasks& masks) const;
  /// The sum of all masks of the layer, made once. requires a layer with heads
  [[nodiscard]] const MaskSum& Sum() const;
  [[nodiscard]] const LayerMasks& masks() const { return masks_; }

  /// [row] PricedLoad of every row. Loads of a price are made once. requires a mask of the layer
  [[nodiscard]] const std::vector<std::int32_t>& PricedRows(const BlockMask* mask,
                                                            double row_price) const;

 private:
  using RowsOfMask = std::unordered_map<const BlockMask*, std::vector<std::int32_t>>;

  LayerMasks masks_;
  std::unordered_map<const BlockMask*, std::unique_ptr<const CountedMask>> counted_;
  mutable std::once_flag sum_made_;
  mutable std::optional<MaskSum> sum_;
  mutable std::once_flag columns_made_;
  mutable std::vector<std::int64_t> columns_;
  mutable std::mutex priced_mutex_;
  mutable std::map<double, RowsOfMask> priced_;  ///< by price
};

}  // namespace dbsp::planner
