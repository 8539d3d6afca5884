// SPDX-License-Identifier: Apache-2.0
#include "core/fine_mask.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "core/error.h"

namespace dbsp {
namespace {

/// Sets the bit of every column of `to` in whose `width` keys a bit of `from` is set.
void SetColumns(std::span<const std::uint64_t> from, int width, BlockMask& to, int row) {
  std::int64_t next = 0;  // keys before it belong to a column that is set
  for (std::size_t w = 0; w < from.size(); ++w) {
    const auto base = static_cast<std::int64_t>(w) * 64;
    std::uint64_t left = from[w];
    while (left != 0) {
      const std::int64_t key = base + std::countr_zero(left);
      if (key >= next) {
        const std::int64_t column = key / width;
        to.Set(row, static_cast<int>(column));
        next = (column + 1) * width;
      }
      if (next >= base + 64) break;
      left &= ~std::uint64_t{0} << std::max<std::int64_t>(next - base, 0);
    }
  }
}

std::int64_t Blocks(std::int64_t tokens, int side) { return (tokens + side - 1) / side; }

}  // namespace

void AppendKeys(const BlockMask& fine, int row, std::vector<std::int32_t>& keys) {
  fine.AppendRow(row, keys);
}

FineLists FineMasks::ListsOf(int head) const {
  const BlockMask& mask = *bits.head.at(static_cast<std::size_t>(head));
  FineLists lists;
  lists.offsets.reserve(static_cast<std::size_t>(mask.rows()) + 1);
  lists.keys.reserve(static_cast<std::size_t>(mask.Count()));
  for (int i = 0; i < mask.rows(); ++i) {
    AppendKeys(mask, i, lists.keys);
    lists.offsets.push_back(static_cast<std::int64_t>(lists.keys.size()));
  }
  return lists;
}

BlockMask BlocksOfFine(const BlockMask& fine, int queries, BlockSize block) {
  DBSP_CHECK(queries >= 1 && block.q >= 1 && block.k >= 1);
  const std::int64_t tokens = fine.cols();
  DBSP_CHECK(fine.rows() == Blocks(tokens, queries));
  BlockMask blocks(static_cast<int>(Blocks(tokens, block.q)),
                   static_cast<int>(Blocks(tokens, block.k)));
  std::int64_t first_before = -1;  // query blocks of the row above
  std::int64_t last_before = -1;
  for (int i = 0; i < blocks.rows(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * block.q;
    const std::int64_t first = begin / queries;
    const std::int64_t last = (std::min(begin + block.q, tokens) - 1) / queries;
    if (first == first_before && last == last_before) {
      std::ranges::copy(blocks.row(i - 1), blocks.mutable_row(i).begin());
      continue;
    }
    for (std::int64_t row = first; row <= last; ++row) {
      SetColumns(fine.row(static_cast<int>(row)), block.k, blocks, i);
    }
    first_before = first;
    last_before = last;
  }
  return blocks;
}

LayerMasks BlocksOfFine(const FineMasks& fine, BlockSize block) {
  LayerMasks blocks;
  for (int h = 0; h < fine.bits.heads(); ++h) {
    const auto& head = fine.bits.head;
    const auto same = std::find(head.begin(), head.begin() + h, head[h]);
    blocks.head.push_back(same != head.begin() + h ? blocks.head[same - head.begin()]
                                                   : std::make_shared<const BlockMask>(BlocksOfFine(
                                                         *head[h], fine.queries, block)));
  }
  return blocks;
}

void FineCounts::Add(const BlockMask& fine, int queries) {
  for (int i = 0; i < fine.rows(); ++i) {
    const std::int64_t row = fine.RowCount(i);
    keys += row;
    longest = std::max(longest, row);
  }
  all_keys += static_cast<std::int64_t>(fine.rows()) * fine.cols();
  const BlockMask at64 = BlocksOfFine(fine, queries, {64, 64});
  const BlockMask at128 = BlocksOfFine(fine, queries, {128, 128});
  blocks64 += at64.Count();
  all_blocks64 += static_cast<std::int64_t>(at64.rows()) * at64.cols();
  blocks128 += at128.Count();
  all_blocks128 += static_cast<std::int64_t>(at128.rows()) * at128.cols();
}

void FineCounts::Add(const FineCounts& other) {
  keys += other.keys;
  all_keys += other.all_keys;
  blocks64 += other.blocks64;
  all_blocks64 += other.all_blocks64;
  blocks128 += other.blocks128;
  all_blocks128 += other.all_blocks128;
  longest = std::max(longest, other.longest);
}

}  // namespace dbsp
