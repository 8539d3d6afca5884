// SPDX-License-Identifier: Apache-2.0
#include "planner/placed.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/head_balance.h"
#include "planner/head_search.h"
#include "planner/home_ring.h"
#include "planner/mask_counts.h"
#include "planner/placement.h"

namespace dbsp::planner {
namespace {

std::vector<int> HomeRanks(int blocks, int block_tokens, const HomeLayout& home) {
  return HomeRing(blocks, block_tokens, home, 1);
}

}  // namespace

std::vector<std::int64_t> RowLoads::HeadTotals() const {
  std::vector<std::int64_t> totals;
  for (int h = 0; h < heads; ++h) {
    const auto begin = blocks.begin() + static_cast<std::ptrdiff_t>(h) * rows;
    totals.push_back(std::accumulate(begin, begin + rows, std::int64_t{0}));
  }
  return totals;
}

RowLoads RowLoadsOf(const LayerMasks& masks) {
  RowLoads loads{masks.heads(), masks.rows(), {}};
  const auto rows = static_cast<std::size_t>(loads.rows);
  loads.blocks.resize(static_cast<std::size_t>(loads.heads) * rows);
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    const std::vector<std::int32_t> counts = RowCounts(*entry.mask);
    for (const int head : entry.heads) {
      std::ranges::copy(counts,
                        loads.blocks.begin() +
                            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(head) * rows));
    }
  }
  return loads;
}

RowLoads SpreadLoads(std::span<const std::int64_t> head_counts, int rows) {
  DBSP_CHECK(rows >= 1);
  RowLoads loads{static_cast<int>(head_counts.size()), rows, {}};
  for (const std::int64_t count : head_counts) {
    for (std::int64_t r = 0; r < rows; ++r) {
      loads.blocks.push_back(static_cast<std::int32_t>(count * (r + 1) / rows - count * r / rows));
    }
  }
  return loads;
}

Partition PlaceHeads(const RowLoads& loads,
                     const LayerMasks& masks,
                     std::span<const int> row_home,
                     std::span<const int> col_home,
                     int ranks,
                     const PlacedOptions& options) {
  const bool fits =
      ranks >= 1 && row_home.size() == static_cast<std::size_t>(loads.rows) &&
      loads.blocks.size() == static_cast<std::size_t>(loads.heads) * row_home.size() &&
      (masks.heads() == 0 || (masks.heads() == loads.heads && masks.rows() == loads.rows &&
                              static_cast<std::size_t>(masks.cols()) == col_home.size()));
  if (!fits) {
    Fail(ErrorCode::kInvalidArgument,
         "placed: {} heads x {} rows on {} ranks; masks are {} x {} x {}, homes {} x {}",
         loads.heads,
         loads.rows,
         ranks,
         masks.heads(),
         masks.rows(),
         masks.cols(),
         row_home.size(),
         col_home.size());
  }
  const std::vector<std::int64_t> totals = loads.HeadTotals();
  HeadSearchOptions search;
  search.extra_heads = 0;  // rows even out what equal counts leave, and equal counts move evenly
  search.kicks = 0;
  std::vector<int> owner = SearchHeadOwners(totals, ranks, search);
  const std::vector<int> contiguous = ContiguousOwners(loads.heads, ranks);
  if (MaxOverMean(totals, contiguous, ranks) < MaxOverMean(totals, owner, ranks)) {
    owner = contiguous;
  }
  const std::int64_t total = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / ranks;
  Placement placement(loads, masks, row_home, col_home, ranks, options);
  placement.Start(owner, totals);
  placement.Relieve();
  placement.Level(mean, mean * (1 + options.tolerance));
  return placement.Build();
}

Partition MakePlaced(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const HomeLayout& home,
                     const PlacedOptions& options) {
  return PlaceHeads(RowLoadsOf(masks),
                    masks,
                    HomeRanks(shape.q_blocks(), shape.block.q, home),
                    HomeRanks(shape.k_blocks(), shape.block.k, home),
                    home.ranks(),
                    options);
}

std::vector<std::int64_t> RankLoads(const RowLoads& loads, const Partition& partition) {
  DBSP_CHECK(partition.heads == loads.heads && partition.q_blocks == loads.rows);
  std::vector<std::int64_t> load(static_cast<std::size_t>(partition.ranks), 0);
  const auto rows = static_cast<std::size_t>(loads.rows);
  for (const HeadGroup& group : partition.groups) {
    for (const int head : group.heads) {
      for (std::size_t r = 0; r < rows; ++r) {
        const auto at = group.row_owner.empty() ? 0 : static_cast<std::size_t>(group.row_owner[r]);
        load[static_cast<std::size_t>(group.ranks[at])] +=
            loads.blocks[static_cast<std::size_t>(head) * rows + r];
      }
    }
  }
  return load;
}

}  // namespace dbsp::planner
