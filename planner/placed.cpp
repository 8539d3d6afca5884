// SPDX-License-Identifier: Apache-2.0
#include "planner/placed.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "planner/head_balance.h"
#include "planner/head_fill.h"
#include "planner/head_search.h"
#include "planner/home_ring.h"
#include "planner/mask_counts.h"
#include "planner/placed_traffic.h"
#include "planner/placement.h"

namespace dbsp::planner {
namespace {

std::vector<int> HomeRanks(int blocks, int block_tokens, const HomeLayout& home) {
  return HomeRing(blocks, block_tokens, home, 1);
}

/// Busiest rank's traffic, in even shares of ulysses', beyond which the search by heads is tried.
constexpr double kGoodEnough = 1.01;
/// Part of the tolerance that the search by heads fills ranks up to; whole rows take the rest.
constexpr double kFilled = 0.6;

struct Layer {
  const RowLoads& loads;
  const LayerMasks& masks;
  std::span<const int> row_home;
  std::span<const int> col_home;
  int ranks;
  const PlacedOptions& options;
};

void CheckSizes(const Layer& layer) {
  const RowLoads& loads = layer.loads;
  const LayerMasks& masks = layer.masks;
  const std::size_t rows = layer.row_home.size();
  const bool masks_fit =
      masks.heads() == 0 || (masks.heads() == loads.heads && masks.rows() == loads.rows &&
                             static_cast<std::size_t>(masks.cols()) == layer.col_home.size());
  if (layer.ranks >= 1 && rows == static_cast<std::size_t>(loads.rows) && masks_fit &&
      loads.blocks.size() == static_cast<std::size_t>(loads.heads) * rows) {
    return;
  }
  Fail(ErrorCode::kInvalidArgument,
       "placed: {} heads x {} rows on {} ranks; masks are {} x {} x {}, homes {} x {}",
       loads.heads,
       loads.rows,
       layer.ranks,
       masks.heads(),
       masks.rows(),
       masks.cols(),
       rows,
       layer.col_home.size());
}

Placement NewPlacement(const Layer& layer) {
  return {layer.loads, layer.masks, layer.row_home, layer.col_home, layer.ranks, layer.options};
}

std::int64_t BusiestOf(const Layer& layer, const Placement& placement) {
  return TrafficOf(placement.owner(), layer.masks, layer.row_home, layer.col_home, layer.ranks)
      .Busiest();
}

/// The placement by heads with the least traffic, none where it is not below `least`, or no rank
/// keeps below `most` blocks.
std::optional<Placement> FillRanks(const Layer& layer,
                                   std::span<const std::int64_t> totals,
                                   const std::vector<int>& owner,
                                   double mean,
                                   double most,
                                   std::int64_t least) {
  const PlacedOptions& options = layer.options;
  const double away = 1 - 1.0 / layer.ranks;
  const double enough = kGoodEnough * 4 * away * layer.loads.heads / layer.ranks;  // heads' rows
  const double unit = static_cast<double>(layer.row_home.size() * layer.col_home.size());
  std::optional<Placement> best;
  if (static_cast<double>(least) <= enough * unit) return best;
  const HeadFillOptions fill{mean * (1 + options.tolerance * kFilled),
                             static_cast<int>(layer.col_home.size()),
                             options.traffic_scans,
                             options.traffic_runs,
                             enough};
  const double limit = mean * (1 + options.tolerance);
  for (const HeadFill& found : SearchHeadFills(totals, owner, layer.ranks, fill)) {
    Placement placement = NewPlacement(layer);
    placement.Start(found.owner, totals);
    placement.Fill(found.shares);
    placement.LevelShared(limit);
    if (static_cast<double>(placement.Heaviest()) > most) placement.Level(mean, limit);
    if (!placement.WithinMemory() || static_cast<double>(placement.Heaviest()) > most) continue;
    const std::int64_t busiest = BusiestOf(layer, placement);
    if (busiest >= least) continue;
    least = busiest;
    best.emplace(std::move(placement));
    if (static_cast<double>(least) <= enough * unit) break;
  }
  return best;
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
  const Layer layer{loads, masks, row_home, col_home, ranks, options};
  CheckSizes(layer);
  const std::vector<std::int64_t> totals = loads.HeadTotals();
  const std::int64_t total = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / ranks;
  const double limit = mean * (1 + options.tolerance);
  const std::vector<int> contiguous = ContiguousOwners(loads.heads, ranks);
  const double ulysses = MaxOverMean(totals, contiguous, ranks) * mean;
  HeadSearchOptions search;
  search.extra_heads = 0;  // rows even out what equal counts leave, and equal counts move evenly
  search.kicks = 0;
  std::vector<int> owner = ulysses <= limit ? contiguous : SearchHeadOwners(totals, ranks, search);
  if (ulysses < MaxOverMean(totals, owner, ranks) * mean) owner = contiguous;
  Placement by_rows = NewPlacement(layer);
  by_rows.Start(owner, totals);
  by_rows.Relieve();
  by_rows.Level(mean, limit);
  if (options.traffic_scans == 0 || total == 0 || ulysses <= limit) return by_rows.Build();
  const double most = std::min(mean * (1 + options.part_tolerance), ulysses);
  const auto by_heads = FillRanks(layer, totals, owner, mean, most, BusiestOf(layer, by_rows));
  return by_heads ? by_heads->Build() : by_rows.Build();
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
