// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_counts.h"

#include <algorithm>

#include "core/error.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/mask_sum.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// [rows * parts] active blocks of every row in every part.
std::vector<std::int32_t> PartCounts(const BlockMask& mask, const RingSplit& split) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(mask.rows()) * split.parts().size());
  CountParts(mask.words(), static_cast<std::size_t>(mask.words_per_row()), split.parts(), counts);
  return counts;
}

}  // namespace

std::vector<std::int32_t> RowCounts(const BlockMask& mask) {
  // One plane with all columns selected: one call counts all rows, which are short.
  const auto words = static_cast<std::size_t>(mask.words_per_row());
  const auto rows = static_cast<std::size_t>(mask.rows());
  const std::vector<std::uint64_t> all(words, ~std::uint64_t{0});
  std::vector<std::int64_t> counts(rows, 0);
  AddSelected({mask.words().data(), rows, 1, words, words}, all.data(), 1, counts.data());
  return {counts.begin(), counts.end()};
}

std::vector<std::int64_t> HeadCounts(const LayerMasks& masks) {
  std::vector<std::int64_t> counts(masks.heads(), 0);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const std::int64_t count = CountBits(entry.mask->words());
    for (const int head : entry.heads) counts[head] = count;
  }
  return counts;
}

std::vector<std::int64_t> RowSums(const LayerMasks& masks) {
  std::vector<std::int64_t> sums(masks.rows(), 0);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const auto times = static_cast<std::int64_t>(entry.heads.size());
    const std::vector<std::int32_t> counts = RowCounts(*entry.mask);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += times * counts[i];
  }
  return sums;
}

std::vector<std::int64_t> ColumnSums(const LayerMasks& masks) {
  if (masks.head.empty()) return {};
  const std::vector<int> rows(masks.rows(), 0);
  return MaskSum(DistinctMasks(masks)).ColumnParts(rows, 1);
}

const std::vector<std::int64_t>& MaskSums::rows() {
  if (!rows_) rows_ = RowSums(masks_);
  return *rows_;
}

const std::vector<std::int64_t>& MaskSums::columns() {
  if (!columns_) columns_ = ColumnSums(masks_);
  return *columns_;
}

RingSplit::RingSplit(const AttentionShape& shape,
                     std::span<const int> row_owner,
                     std::span<const int> col_owner,
                     int ring)
    : ring_(ring),
      steps_(col_owner.empty() ? 1 : ring),
      row_owner_(row_owner.begin(), row_owner.end()) {
  const auto cols = static_cast<std::size_t>(shape.k_blocks());
  DBSP_CHECK(ring >= 1 && (col_owner.empty() || col_owner.size() == cols));
  parts_.resize(steps_);
  std::vector<std::vector<std::uint64_t>> bits(parts_.size(),
                                               std::vector<std::uint64_t>((cols + 63) / 64, 0));
  for (std::size_t j = 0; j < cols; ++j) {
    const auto owner = static_cast<std::size_t>(col_owner.empty() ? 0 : col_owner[j]);
    bits[owner][j / 64] |= 1ULL << (j % 64);
  }
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    for (std::size_t w = 0; w < bits[p].size(); ++w) {
      if (bits[p][w] != 0) parts_[p].push_back({w, bits[p][w]});
    }
  }
}

MaskCells CountCells(const AttentionShape& shape, const BlockMask& mask, const RingSplit& split) {
  const auto ring = static_cast<std::size_t>(split.ring());
  const std::size_t cells = ring * static_cast<std::size_t>(split.steps());
  MaskCells out;
  for (auto* list : {&out.active_blocks, &out.pairs, &out.active_rows, &out.active_tokens}) {
    list->assign(cells, 0);
  }
  if (mask.cols() == 0) return out;
  const int last = mask.cols() - 1;
  const std::int64_t missing = shape.block.k - shape.k_tokens(last);
  // The short last column lies in the last word of exactly one part.
  const auto holds_last = [&](const std::vector<WordBits>& part) {
    return !part.empty() && part.back().word == static_cast<std::size_t>(last) / 64 &&
           ((part.back().bits >> (last % 64)) & 1U) != 0;
  };
  const auto last_part = std::ranges::find_if(split.parts(), holds_last) - split.parts().begin();
  const std::vector<std::int32_t> counts = PartCounts(mask, split);
  const std::int32_t* count_of = counts.data();
  for (int i = 0; i < mask.rows(); ++i, count_of += split.parts().size()) {
    const int rank = split.RowOwner(i);
    const std::int64_t tokens = shape.q_tokens(i);
    for (int t = 0; t < split.steps(); ++t) {
      const int part = split.PartAt(rank, t);
      const std::int32_t count = count_of[part];
      if (count == 0) continue;
      const std::size_t cell = static_cast<std::size_t>(t) * ring + static_cast<std::size_t>(rank);
      const bool cut = missing > 0 && part == last_part && mask.Get(i, last);
      const std::int64_t keys =
          static_cast<std::int64_t>(count) * shape.block.k - (cut ? missing : 0);
      out.active_blocks[cell] += count;
      out.pairs[cell] += tokens * keys;
      out.active_rows[cell] += 1;
      out.active_tokens[cell] += tokens;
    }
  }
  return out;
}

Matrix<std::uint64_t> NeededColumns(const BlockMask& mask, const RingSplit& split) {
  Matrix<std::uint64_t> needed(static_cast<std::size_t>(split.ring()),
                               static_cast<std::size_t>(mask.words_per_row()));
  for (int i = 0; i < mask.rows(); ++i) {
    const auto row = mask.row(i);
    const auto out = needed.row(split.RowOwner(i));
    for (std::size_t w = 0; w < out.size(); ++w) out[w] |= row[w];
  }
  return needed;
}

std::vector<std::int64_t> CountActiveBlocks(const BlockMask& mask, const RingSplit& split) {
  const auto ring = static_cast<std::size_t>(split.ring());
  std::vector<std::int64_t> active(ring * static_cast<std::size_t>(split.steps()), 0);
  const std::vector<std::int32_t> counts = PartCounts(mask, split);
  const std::int32_t* count_of = counts.data();
  for (int i = 0; i < mask.rows(); ++i, count_of += split.parts().size()) {
    const int rank = split.RowOwner(i);
    for (int t = 0; t < split.steps(); ++t) {
      active[static_cast<std::size_t>(t) * ring + static_cast<std::size_t>(rank)] +=
          count_of[split.PartAt(rank, t)];
    }
  }
  return active;
}

}  // namespace dbsp::planner
