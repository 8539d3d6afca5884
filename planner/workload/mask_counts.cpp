// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/mask_counts.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/mask_sum.h"
#include "planner/workload/popcount.h"

namespace dbsp::planner {
namespace {

/// Mean rows per run from which the rows of a run are summed up in order.
constexpr std::size_t kLongRun = 8;

/// [part][owner] active blocks + kActiveRow * active rows.
Matrix<std::uint64_t> OwnerSums(const RingSplit& split,
                                const AlignedWords& counts,
                                std::size_t pitch) {
  const std::size_t parts = split.parts().size();
  Matrix<std::uint64_t> sums(parts, static_cast<std::size_t>(split.ring()));
  const bool long_runs = split.runs().size() * kLongRun <= split.row_owner().size();
  for (std::size_t part = 0; part < parts; ++part) {
    const std::uint64_t* count = counts.data() + part * pitch;
    const std::span<std::uint64_t> sum = sums.row(part);
    for (const RingSplit::RowRun& run : split.runs()) {
      if (!long_runs) break;
      sum[run.owner] += std::accumulate(count + run.begin, count + run.end, std::uint64_t{0});
    }
    for (int owner = 0; !long_runs && owner < split.ring(); ++owner) {
      std::uint64_t of_owner = 0;
      for (const int row : split.RowsOf(owner)) of_owner += count[row];
      sum[owner] = of_owner;
    }
  }
  return sums;
}

/// counts[part * pitch + row] of every row in every part (CountRowParts).
void CountPartsOf(const CountedMask& mask, const RingSplit& split, AlignedWords& counts) {
  counts.resize(split.parts().size() * mask.pitch);
  if (split.steps() > 1) {
    CountRowParts(mask.by_word, mask.pitch, split.parts(), counts);
    return;
  }
  for (std::size_t i = 0; i < mask.row_blocks.size(); ++i) {
    const auto blocks = static_cast<std::uint64_t>(mask.row_blocks[i]);
    counts[i] = blocks + (blocks > 0 ? kActiveRow : 0);
  }
}

/// Tokens that the last row or column has less than a whole block.
std::int64_t Missing(std::int64_t tokens, int block) { return (block - tokens % block) % block; }

/// The cell of a mask that one rank has whole.
MaskCell WholeCell(const AttentionShape& shape, const CountedMask& mask) {
  const std::int64_t no_q = Missing(shape.tokens, shape.block.q);
  const std::int64_t no_k = Missing(shape.tokens, shape.block.k);
  const int last = mask.mask->rows() - 1;
  const std::int64_t last_blocks = mask.row_blocks[last];
  const bool corner = mask.mask->Get(last, mask.mask->cols() - 1);
  const auto keys = [&](std::int64_t blocks, std::int64_t cut) {
    return blocks * shape.block.k - cut * no_k;
  };
  return {
      mask.active_blocks,
      shape.block.q * keys(mask.active_blocks, static_cast<std::int64_t>(mask.last_column.size())) -
          no_q * keys(last_blocks, corner ? 1 : 0),
      mask.active_rows,
      mask.active_rows * shape.block.q - (last_blocks > 0 ? no_q : 0)};
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

std::vector<std::int64_t> HeadCounts(const LayerMasks& masks, const LayerCounts* counts) {
  std::vector<std::int64_t> active(masks.heads(), 0);
  if (counts != nullptr) {
    for (std::size_t h = 0; h < active.size(); ++h) {
      active[h] = counts->Of(masks.head[h].get()).active_blocks;
    }
    return active;
  }
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const std::int64_t count = CountBits(entry.mask->words());
    for (const int head : entry.heads) active[head] = count;
  }
  return active;
}

RingSplit::RingSplit(const AttentionShape& shape,
                     std::span<const int> row_owner,
                     std::span<const int> col_owner,
                     int ring)
    : ring_(ring),
      steps_(col_owner.empty() ? 1 : ring),
      row_owner_(row_owner.begin(), row_owner.end()) {
  for (std::size_t i = 0; i < row_owner.size(); ++i) {
    const int row = static_cast<int>(i);
    if (runs_.empty() || runs_.back().owner != row_owner[i]) {
      runs_.push_back({row, row, row_owner[i]});
    }
    runs_.back().end = row + 1;
  }
  begin_.assign(static_cast<std::size_t>(ring) + 1, 0);
  for (const int owner : row_owner) ++begin_[static_cast<std::size_t>(owner) + 1];
  std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
  rows_.resize(row_owner.size());
  std::vector<std::size_t> next(begin_.begin(), begin_.end() - 1);
  for (std::size_t i = 0; i < row_owner.size(); ++i) {
    rows_[next[row_owner[i]]++] = static_cast<int>(i);
  }
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

std::size_t RingSplit::PartOf(std::size_t col) const {
  const auto holds = [&](const std::vector<WordBits>& part) {
    return std::ranges::any_of(part, [&](const WordBits& entry) {
      return entry.word == col / 64 && ((entry.bits >> (col % 64)) & 1U) != 0;
    });
  };
  return static_cast<std::size_t>(std::ranges::find_if(parts_, holds) - parts_.begin());
}

std::vector<MaskCell> CountCells(const AttentionShape& shape,
                                 const CountedMask& mask,
                                 const RingSplit& split,
                                 AlignedWords& counts) {
  const std::size_t rows = mask.row_blocks.size();
  std::vector<MaskCell> cells(static_cast<std::size_t>(split.ring()) *
                              static_cast<std::size_t>(split.steps()));
  if (mask.words == 0 || rows == 0) return cells;
  if (split.ring() == 1) return {WholeCell(shape, mask)};
  const std::int64_t no_q = Missing(shape.tokens, shape.block.q);
  const std::int64_t no_k = Missing(shape.tokens, shape.block.k);
  CountPartsOf(mask, split, counts);
  const Matrix<std::uint64_t> sums = OwnerSums(split, counts, mask.pitch);
  for (std::size_t part = 0; part < sums.rows(); ++part) {
    for (int rank = 0; rank < split.ring(); ++rank) {
      MaskCell& cell = cells[split.CellOf(rank, static_cast<int>(part))];
      const std::uint64_t sum = sums(part, static_cast<std::size_t>(rank));
      cell.active_blocks = static_cast<std::int64_t>(sum % kActiveRow);
      cell.active_rows = static_cast<std::int64_t>(sum / kActiveRow);
      cell.pairs = cell.active_blocks * shape.block.q * shape.block.k;
      cell.active_tokens = cell.active_rows * shape.block.q;
    }
  }
  // The last row and the last column may be short.
  const std::span<const int> owner = split.row_owner();
  for (std::size_t part = 0; no_q > 0 && part < sums.rows(); ++part) {
    const std::uint64_t count = counts[part * mask.pitch + rows - 1] % kActiveRow;
    if (count == 0) continue;
    MaskCell& cell = cells[split.CellOf(owner[rows - 1], static_cast<int>(part))];
    cell.pairs -= no_q * static_cast<std::int64_t>(count) * shape.block.k;
    cell.active_tokens -= no_q;
  }
  if (no_k == 0) return cells;
  const auto last_part =
      static_cast<int>(split.PartOf(static_cast<std::size_t>(mask.mask->cols() - 1)));
  for (const int row : mask.last_column) {
    MaskCell& cell = cells[split.CellOf(owner[row], last_part)];
    cell.pairs -= no_k * shape.q_tokens(row);
  }
  return cells;
}

Matrix<std::uint64_t> NeededColumns(const CountedMask& mask, const RingSplit& split) {
  Matrix<std::uint64_t> needed(static_cast<std::size_t>(split.ring()), mask.words);
  const std::uint64_t* rows = mask.mask->words().data();
  const RingSplit::RowRun all{0, mask.mask->rows(), 0};
  const auto runs = split.ring() == 1 ? std::span(&all, 1) : split.runs();
  for (const RingSplit::RowRun& run : runs) {
    std::uint64_t* out = needed.row(static_cast<std::size_t>(run.owner)).data();
    const auto add = [&](const std::uint64_t* from) {
      for (std::size_t w = 0; w < mask.words; ++w) out[w] |= from[w];
    };
    const auto end = static_cast<std::size_t>(run.end);
    for (auto i = static_cast<std::size_t>(run.begin); i < end;) {
      if (i % kNeedRows == 0 && i + kNeedRows <= end) {
        add(mask.needs.data() + i / kNeedRows * mask.words);
        i += kNeedRows;
      } else {
        add(rows + i * mask.words);
        ++i;
      }
    }
  }
  return needed;
}

std::vector<std::int64_t> CountActiveBlocks(const CountedMask& mask, const RingSplit& split) {
  if (split.ring() == 1) return {mask.active_blocks};
  std::vector<std::int64_t> active(static_cast<std::size_t>(split.ring() * split.steps()), 0);
  AlignedWords counts;
  CountPartsOf(mask, split, counts);
  const Matrix<std::uint64_t> sums = OwnerSums(split, counts, mask.pitch);
  for (std::size_t part = 0; part < sums.rows(); ++part) {
    for (int rank = 0; rank < split.ring(); ++rank) {
      active[split.CellOf(rank, static_cast<int>(part))] =
          static_cast<std::int64_t>(sums(part, static_cast<std::size_t>(rank)) % kActiveRow);
    }
  }
  return active;
}

}  // namespace dbsp::planner
