// SPDX-License-Identifier: Apache-2.0
#include "planner/mask_counts.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "core/error.h"
#include "planner/mask_sum.h"
#include "planner/popcount.h"

namespace dbsp::planner {
namespace {

/// Kept columns of the part that ring index `rank` works on at `step`.
int CountPart(std::span<const std::uint64_t> row, const RingSplit& split, int rank, int step) {
  if (split.steps() == 1) return static_cast<int>(CountBits(row));  // every column
  int count = 0;
  for (const RingSplit::Part& p : split.part(split.PartAt(rank, step)))
    count += std::popcount(row[p.word] & p.bits);
  return count;
}

}  // namespace

std::vector<DistinctMask> DistinctMasks(const LayerMasks& masks) {
  std::vector<DistinctMask> distinct;
  std::unordered_map<const BlockMask*, std::size_t> index;
  for (int h = 0; h < masks.heads(); ++h) {
    const BlockMask* mask = masks.head[static_cast<std::size_t>(h)].get();
    if (mask == nullptr) Fail(ErrorCode::kInvalidArgument, "head {} has no mask", h);
    const auto [at, fresh] = index.try_emplace(mask, distinct.size());
    if (fresh) distinct.push_back({mask, {}});
    distinct[at->second].heads.push_back(h);
  }
  for (const DistinctMask& entry : distinct) {
    if (entry.mask->rows() != distinct.front().mask->rows() ||
        entry.mask->cols() != distinct.front().mask->cols()) {
      Fail(ErrorCode::kInvalidArgument,
           "head {} has {} x {} blocks, head 0 has {} x {}",
           entry.heads.front(),
           entry.mask->rows(),
           entry.mask->cols(),
           distinct.front().mask->rows(),
           distinct.front().mask->cols());
    }
  }
  return distinct;
}

std::vector<std::int32_t> RowCounts(const BlockMask& mask) {
  std::vector<std::int32_t> counts(static_cast<std::size_t>(mask.rows()));
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = static_cast<std::int32_t>(CountBits(mask.row(static_cast<int>(i))));
  }
  return counts;
}

std::vector<std::int64_t> HeadCounts(const LayerMasks& masks) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(masks.heads()), 0);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const std::int64_t count = CountBits(entry.mask->words());
    for (const int head : entry.heads) counts[static_cast<std::size_t>(head)] = count;
  }
  return counts;
}

std::vector<std::int64_t> RowSums(const LayerMasks& masks) {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(masks.rows()), 0);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const auto times = static_cast<std::int64_t>(entry.heads.size());
    const std::vector<std::int32_t> counts = RowCounts(*entry.mask);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += times * counts[i];
  }
  return sums;
}

std::vector<std::int64_t> ColumnSums(const LayerMasks& masks) {
  if (masks.head.empty()) return {};
  const std::vector<int> rows(static_cast<std::size_t>(masks.rows()), 0);
  return MaskSum(DistinctMasks(masks)).ColumnParts(rows, 1);
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
  parts_.resize(static_cast<std::size_t>(steps_));
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
  for (auto* list : {&out.kept, &out.pairs, &out.active_rows, &out.active_tokens}) {
    list->assign(cells, 0);
  }
  if (mask.cols() == 0) return out;
  const int last = mask.cols() - 1;
  const std::int64_t missing = shape.block.k - shape.k_tokens(last);
  for (int i = 0; i < mask.rows(); ++i) {
    const auto row = mask.row(i);
    const int rank = split.RowOwner(i);
    const std::int64_t tokens = shape.q_tokens(i);
    for (int t = 0; t < split.steps(); ++t) {
      const auto& part = split.part(split.PartAt(rank, t));
      const int count = CountPart(row, split, rank, t);
      if (count == 0) continue;
      const std::size_t cell = static_cast<std::size_t>(t) * ring + static_cast<std::size_t>(rank);
      // The short last column lies in the last word of exactly one part.
      const bool has_last = mask.Get(i, last) && part.back().word == row.size() - 1 &&
                            ((part.back().bits >> (last % 64)) & 1U) != 0;
      const std::int64_t keys =
          static_cast<std::int64_t>(count) * shape.block.k - (has_last ? missing : 0);
      out.kept[cell] += count;
      out.pairs[cell] += tokens * keys;
      out.active_rows[cell] += 1;
      out.active_tokens[cell] += tokens;
    }
  }
  return out;
}

std::vector<std::uint64_t> NeededColumns(const BlockMask& mask, const RingSplit& split) {
  const auto words = static_cast<std::size_t>(mask.words_per_row());
  std::vector<std::uint64_t> needed(static_cast<std::size_t>(split.ring()) * words, 0);
  for (int i = 0; i < mask.rows(); ++i) {
    const auto row = mask.row(i);
    std::uint64_t* out = needed.data() + static_cast<std::size_t>(split.RowOwner(i)) * words;
    for (std::size_t w = 0; w < words; ++w) out[w] |= row[w];
  }
  return needed;
}

std::vector<std::int64_t> CountKept(const BlockMask& mask, const RingSplit& split) {
  const auto ring = static_cast<std::size_t>(split.ring());
  std::vector<std::int64_t> kept(ring * static_cast<std::size_t>(split.steps()), 0);
  for (int i = 0; i < mask.rows(); ++i) {
    const int rank = split.RowOwner(i);
    for (int t = 0; t < split.steps(); ++t) {
      kept[static_cast<std::size_t>(t) * ring + static_cast<std::size_t>(rank)] +=
          CountPart(mask.row(i), split, rank, t);
    }
  }
  return kept;
}

}  // namespace dbsp::planner
