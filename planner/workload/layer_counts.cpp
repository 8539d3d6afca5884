// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/layer_counts.h"

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "planner/workload/distinct_masks.h"

namespace dbsp::planner {

CountedMask::CountedMask(const BlockMask& counted)
    : mask(&counted),
      words(static_cast<std::size_t>(counted.words_per_row())),
      pitch((static_cast<std::size_t>(counted.rows()) + kRowLanes - 1) / kRowLanes * kRowLanes),
      row_blocks(static_cast<std::size_t>(counted.rows())) {
  const auto rows = static_cast<std::size_t>(counted.rows());
  by_word.resize(words * pitch);
  needs.assign((rows + kNeedRows - 1) / kNeedRows * words, 0);
  const std::uint64_t* from = counted.words().data();
  for (std::size_t begin = 0; begin < rows; begin += kNeedRows) {
    const std::size_t end = std::min(rows, begin + kNeedRows);
    std::uint64_t* need = needs.data() + begin / kNeedRows * words;
    for (std::size_t w = 0; w < words; ++w) {
      std::uint64_t* to = by_word.data() + w * pitch;
      std::uint64_t any = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const std::uint64_t word = from[i * words + w];
        to[i] = word;
        any |= word;
      }
      need[w] = any;
    }
  }
  if (rows == 0 || words == 0) return;
  std::vector<WordBits> all;
  for (std::size_t w = 0; w < words; ++w) all.push_back({w, ~std::uint64_t{0}});
  std::vector<std::uint64_t> counts(pitch);
  CountRowParts(by_word, pitch, {&all, 1}, counts);
  const auto last = static_cast<std::size_t>(counted.cols() - 1);
  const std::uint64_t* last_words = by_word.data() + last / 64 * pitch;
  for (std::size_t i = 0; i < rows; ++i) {
    row_blocks[i] = static_cast<std::int32_t>(counts[i] % kActiveRow);
    active_blocks += row_blocks[i];
    active_rows += row_blocks[i] > 0 ? 1 : 0;
    if (((last_words[i] >> (last % 64)) & 1U) != 0) last_column.push_back(static_cast<int>(i));
  }
}

LayerCounts::LayerCounts(const LayerMasks& masks) : masks_(masks) {
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    counted_.emplace(entry.mask, std::make_unique<const CountedMask>(*entry.mask));
  }
}

const CountedMask& LayerCounts::Of(const BlockMask* mask) const {
  const auto found = counted_.find(mask);
  DBSP_CHECK(found != counted_.end());
  return *found->second;
}

const std::vector<std::int32_t>& LayerCounts::PricedRows(const BlockMask* mask,
                                                         double row_price) const {
  const std::lock_guard lock(priced_mutex_);
  const auto [at, fresh] = priced_.try_emplace(row_price);
  for (const auto& [of, counted] : counted_) {
    if (!fresh) break;
    std::vector<std::int32_t>& rows = at->second[of];
    rows = counted->row_blocks;
    for (std::int32_t& row : rows) row = PricedLoad(row, row_price);
  }
  const auto found = at->second.find(mask);
  DBSP_CHECK(found != at->second.end());
  return found->second;
}

std::vector<std::int64_t> LayerCounts::RowSums(const LayerMasks& masks) const {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(masks.rows()), 0);
  for (const BlockMaskPtr& mask : masks.head) {
    const std::vector<std::int32_t>& rows = Of(mask.get()).row_blocks;
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += rows[i];
  }
  return sums;
}

const MaskSum& LayerCounts::Sum() const {
  std::call_once(sum_made_, [&] { sum_.emplace(DistinctMasks(masks_)); });
  return *sum_;
}

std::vector<std::int64_t> LayerCounts::ColumnSums(const LayerMasks& masks) const {
  if (masks.head.empty()) return {};
  const std::vector<int> rows(static_cast<std::size_t>(masks.rows()), 0);
  if (masks.head != masks_.head) return MaskSum(DistinctMasks(masks)).ColumnParts(rows, 1);
  std::call_once(columns_made_, [&] { columns_ = Sum().ColumnParts(rows, 1); });
  return columns_;
}

}  // namespace dbsp::planner
