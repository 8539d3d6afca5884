// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/layer_counts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "planner/timeline/layer_volumes.h"
#include "planner/timeline/moved_bytes.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/row_loads.h"
#include "planner/workload/rules/synthetic.h"
#include "tests/planner/random_case.h"

namespace dbsp::planner {
namespace {

std::vector<int> RandomOwners(std::mt19937_64& random, int items, int ring, bool runs) {
  std::vector<int> owner;
  for (int i = 0; i < items; ++i) {
    owner.push_back(runs ? i * ring / items : Draw(random, 0, ring - 1));
  }
  return owner;
}

/// Masks of up to 200 x 200 blocks, whose rows have several words.
BlockMask RandomMask(std::mt19937_64& random, const AttentionShape& shape) {
  BlockMask mask(shape.q_blocks(), shape.k_blocks());
  const int density = Draw(random, 0, 20);
  for (int i = 0; i < mask.rows(); ++i) {
    if (Draw(random, 0, 5) == 0) continue;
    for (int j = 0; j < mask.cols(); ++j) mask.Set(i, j, Draw(random, 0, 19) < density);
  }
  return mask;
}

AttentionShape RandomShape(std::mt19937_64& random) {
  AttentionShape shape;
  shape.heads = 1;
  shape.head_dim = 4;
  shape.tokens = Draw(random, 1, 600);
  shape.block = {Draw(random, 3, 9), Draw(random, 3, 9)};
  return shape;
}

TEST(LayerCountsTest, CellsOfARingAreThoseOfABlockByBlockCount) {
  std::mt19937_64 random(161);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const AttentionShape shape = RandomShape(random);
    const BlockMask mask = RandomMask(random, shape);
    const int ring = Draw(random, 1, 5);
    const bool columns = ring > 1 && Draw(random, 0, 2) > 0;
    std::vector<int> rows;
    std::vector<int> cols;
    if (ring > 1) rows = RandomOwners(random, mask.rows(), ring, Draw(random, 0, 1) == 0);
    if (columns) cols = RandomOwners(random, mask.cols(), ring, Draw(random, 0, 1) == 0);
    const RingSplit split(shape, rows, cols, ring);
    std::vector<MaskCell> cells(static_cast<std::size_t>(ring * split.steps()));
    Matrix<std::uint64_t> needed(static_cast<std::size_t>(ring),
                                 static_cast<std::size_t>(mask.words_per_row()));
    for (int i = 0; i < mask.rows(); ++i) {
      const int rank = rows.empty() ? 0 : rows[i];
      std::vector<std::int64_t> blocks(static_cast<std::size_t>(split.steps()), 0);
      for (int j = 0; j < mask.cols(); ++j) {
        if (!mask.Get(i, j)) continue;
        const int step = columns ? (cols[j] - rank + ring) % ring : 0;
        MaskCell& cell = cells[static_cast<std::size_t>(step * ring + rank)];
        ++cell.active_blocks;
        cell.pairs += static_cast<std::int64_t>(shape.q_tokens(i)) * shape.k_tokens(j);
        ++blocks[step];
        needed(static_cast<std::size_t>(rank), static_cast<std::size_t>(j) / 64) |= 1ULL
                                                                                    << (j % 64);
      }
      for (std::size_t step = 0; step < blocks.size(); ++step) {
        MaskCell& cell =
            cells[step * static_cast<std::size_t>(ring) + static_cast<std::size_t>(rank)];
        cell.active_rows += blocks[step] > 0 ? 1 : 0;
        cell.active_tokens += blocks[step] > 0 ? shape.q_tokens(i) : 0;
      }
    }
    const CountedMask counted(mask);
    AlignedWords scratch;
    ASSERT_EQ(CountCells(shape, counted, split, scratch), cells);
    ASSERT_EQ(NeededColumns(counted, split), needed);
    std::vector<std::int64_t> active;
    for (const MaskCell& cell : cells) active.push_back(cell.active_blocks);
    ASSERT_EQ(CountActiveBlocks(counted, split), active);
  }
}

TEST(LayerCountsTest, LoadsWithCountsAreThoseOfTheMasks) {
  std::mt19937_64 random(162);
  for (int trial = 0; trial < 200; ++trial) {
    const RandomLayer layer = MakeRandomLayer(random);
    const LayerCounts counts(layer.masks);
    LayerMasks part;
    for (const BlockMaskPtr& mask : layer.masks.head) {
      if (Draw(random, 0, 1) == 0) part.head.push_back(mask);
    }
    for (const double price : {0.0, 0.3, 2.0}) {
      for (const LayerMasks* masks : {&layer.masks, &std::as_const(part)}) {
        ASSERT_EQ(RowLoadsOf(*masks, price, &counts).blocks, RowLoadsOf(*masks, price).blocks);
      }
    }
    ASSERT_EQ(HeadCounts(part, &counts), HeadCounts(part));
    const LayerCounts own(part);
    ASSERT_EQ(counts.RowSums(part), own.RowSums(part));
    ASSERT_EQ(counts.ColumnSums(part), own.ColumnSums(part));
  }
}

/// Every pair of an active block, in the order of rows and columns, without any word operation.
std::int64_t PackBlockByBlock(const AttentionShape& shape,
                              const BlockMask& mask,
                              const std::vector<int>& home_q,
                              const std::vector<int>& home_k) {
  std::vector<std::int64_t> left;
  for (int j = 0; j < mask.cols(); ++j) left.push_back(2 * shape.k_tokens(j));
  std::int64_t packed = 0;
  for (int i = 0; i < mask.rows(); ++i) {
    std::int64_t weight = 2 * shape.q_tokens(i);
    for (int j = 0; j < mask.cols(); ++j) {
      if (!mask.Get(i, j) || home_q[i] == home_k[j]) continue;
      const std::int64_t part = std::min(weight, left[j]);
      packed += part;
      weight -= part;
      left[j] -= part;
    }
  }
  return packed;
}

TEST(MovedBytesTest, WordsGiveThePackingOfSingleBlocks) {
  std::mt19937_64 random(163);
  for (int trial = 0; trial < 200; ++trial) {
    const AttentionShape shape = RandomShape(random);
    const BlockMask mask = RandomMask(random, shape);
    const int ranks = Draw(random, 1, 6);
    const auto home_q = RandomOwners(random, mask.rows(), ranks, Draw(random, 0, 1) == 0);
    const auto home_k = RandomOwners(random, mask.cols(), ranks, Draw(random, 0, 1) == 0);
    ASSERT_EQ(MustMoveTokens(shape, mask, home_q, home_k),
              PackBlockByBlock(shape, mask, home_q, home_k));
  }
}

/// Draws one block after the other, and asks for every block of the band whether it belongs to it.
BlockMask DrawBlockByBlock(int rows, int cols, std::int64_t active, Pattern pattern, Prng& prng) {
  BlockMask mask(rows, cols);
  if (active == static_cast<std::int64_t>(rows) * cols) return BlockMask::Full(rows, cols);
  if (pattern == Pattern::kBand) {
    const auto band = [&](std::int64_t reach) {
      BlockMask made(rows, cols);
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < cols; ++j) {
          const std::int64_t off = std::int64_t{2 * i + 1} * cols - std::int64_t{2 * j + 1} * rows;
          made.Set(i, j, std::abs(off) <= reach);
        }
      }
      return made;
    };
    for (std::int64_t reach = 0;; ++reach) {
      BlockMask wider = band(reach);
      if (wider.Count() > active - active / 4) break;
      mask = std::move(wider);
    }
  }
  const auto blocks = static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(cols);
  const std::int64_t inactive = static_cast<std::int64_t>(blocks) - mask.Count();
  std::int64_t amount = active - mask.Count();
  const BlockMask before = mask;
  const bool clear = 2 * amount > inactive;
  if (clear) {
    mask = BlockMask::Full(rows, cols);
    amount = inactive - amount;
  }
  while (amount > 0) {
    const auto at = static_cast<int>(prng.Below(blocks));
    if (before.Get(at / cols, at % cols) || mask.Get(at / cols, at % cols) != clear) continue;
    mask.Set(at / cols, at % cols, !clear);
    --amount;
  }
  return mask;
}

TEST(SyntheticMaskTest, MasksAreThoseOfBlocksDrawnOneAfterTheOther) {
  std::mt19937_64 random(164);
  for (int trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(::testing::Message() << "trial " << trial);
    const int rows = Draw(random, 1, 12);
    const int cols = Draw(random, 0, 3) == 0 ? Draw(random, 1, 90) : Draw(random, 1, 12);
    const std::int64_t active = Draw(random, 0, rows * cols);
    const Pattern pattern = Draw(random, 0, 1) == 0 ? Pattern::kBand : Pattern::kRandom;
    Prng prng(static_cast<std::uint64_t>(trial));
    Prng own(static_cast<std::uint64_t>(trial));
    ASSERT_EQ(SyntheticMask(rows, cols, active, pattern, prng),
              DrawBlockByBlock(rows, cols, active, pattern, own));
    ASSERT_EQ(prng.Next(), own.Next());  // the same number of draws
  }
}

}  // namespace
}  // namespace dbsp::planner
