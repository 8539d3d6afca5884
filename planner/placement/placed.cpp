// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/placed.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "planner/placement/head_balance.h"
#include "planner/placement/head_fill_search.h"
#include "planner/placement/head_needs.h"
#include "planner/placement/head_search.h"
#include "planner/placement/placed_traffic.h"
#include "planner/placement/placement.h"
#include "planner/timeline/home_ring.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {
namespace {

std::vector<int> HomeRanks(int blocks, int block_tokens, const HomeLayout& home) {
  return HomeRing(blocks, block_tokens, home, 1);
}

// Sensitivity of the constants below: mean and worst traffic of the busiest rank over that of
// ulysses, over the six traffic rows of bench/planner_vs_dbsp. With these values: 0.983, 1.125.
// "Half" and "double" multiply the value itself, but for a threshold above 1 its excess over 1.

/// The search by heads is skipped, or ends, once the busiest rank's traffic is at most this ratio
/// of an even share of ulysses' traffic.
constexpr double kEnoughTrafficOverEven = 1.01;
/// The search by heads fills ranks up to this fraction of the tolerance above the mean. The rest is
/// left for whole rows, whose loads do not fit exactly.
/// Sensitivity: half 0.986, 1.164; double 0.986, 1.133 (loads then exceed the tolerance first).
constexpr double kFillOverTolerance = 0.6;
/// No further run of the search by heads follows once the busiest rank's traffic is at most this
/// ratio of ulysses': a further run costs more time than the rest of the plan and gains little.
/// Sensitivity: half 0.983, 1.125; double 0.988, 1.125.
constexpr double kEnoughTrafficOverUlysses = 1.03;
/// The search is repeated with less even loads if the busiest rank's traffic still exceeds this
/// ratio of ulysses'. Balance comes first, so the ratio is far above kEnoughTrafficOverUlysses.
/// Sensitivity: half 0.983, 1.125; double 0.986, 1.151.
constexpr double kRelaxTrafficOverUlysses = 1.1;
/// A head stays at home if its K and V there are less than this ratio of its traffic as a whole
/// head. The ratio is below 1 because a rank packs and unpacks blocks for every rank that needs
/// them, its own included.
/// Sensitivity: half 1.007, 1.155; double 0.987, 1.157.
constexpr double kStayHomeTrafficOverWhole = 0.7;
/// Fraction of PlacedOptions::part_tolerance that less even loads may use. The rest is left for the
/// single rows that even out the loads.
/// Sensitivity: half 0.984, 1.151; double 0.984, 1.151 (double exceeds part_tolerance).
constexpr double kRelaxedLoadOverPartTolerance = 0.8;

struct PlacedLayer {
  const RowLoads& loads;
  const LayerMasks& masks;
  std::span<const int> row_home;
  std::span<const int> col_home;
  int ranks;
  const PlacedOptions& options;
};

void CheckSizes(const PlacedLayer& layer) {
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

/// The placement of whole heads on their ranks.
Placement NewPlacement(const PlacedLayer& layer,
                       std::span<const int> owner,
                       std::span<const std::int64_t> totals) {
  return {layer.loads,
          layer.masks,
          layer.row_home,
          layer.col_home,
          layer.ranks,
          layer.options,
          owner,
          totals};
}

/// Heads of the busiest rank of ulysses beyond an even share.
double HeadsBeyondEven(const PlacedLayer& layer) {
  const int heads = layer.loads.heads;
  const int most = (heads + layer.ranks - 1) / layer.ranks;
  return most - static_cast<double>(heads) / layer.ranks;
}

/// Heads whose rows all stay at home, and their load there; empty, or [heads] and [ranks].
struct AtHome {
  std::vector<bool> heads;
  std::vector<double> load;
};

/// Heads for which ranks fetch less in parts at home than one rank would for the whole head.
AtHome HeadsAtHome(const PlacedLayer& layer, std::span<const double> needs, double mean) {
  AtHome home;
  const auto ranks = static_cast<std::size_t>(layer.ranks);
  const auto rows = layer.row_home.size();
  if (needs.empty() || ranks < 2) return home;
  for (std::size_t h = 0; h < static_cast<std::size_t>(layer.loads.heads); ++h) {
    const double* need = needs.data() + h * (ranks + 1);
    const auto parts = static_cast<double>(ranks);
    const double at_home = parts * 2 * need[1];
    const double whole = 2 * need[ranks] + 2 * (1 - 1 / parts);  // K and V; Q there and O back
    home.heads.push_back(at_home < kStayHomeTrafficOverWhole * whole);
  }
  home.load.assign(ranks, 0);
  for (std::size_t h = 0; h < home.heads.size(); ++h) {
    for (std::size_t r = 0; home.heads[h] && r < rows; ++r) {
      home.load[layer.row_home[r]] += layer.loads.At(h, r);
    }
  }
  return std::ranges::max(home.load) <= mean ? home : AtHome{};
}

/// The placement by heads with the least traffic. None if its traffic is not below `least`, or if
/// no placement has all loads at most `most` blocks.
std::optional<Placement> FillRanks(const PlacedLayer& layer,
                                   std::span<const std::int64_t> totals,
                                   const std::vector<int>& owner,
                                   double mean,
                                   double most,
                                   TrafficCounter& traffic,
                                   std::int64_t least) {
  const PlacedOptions& options = layer.options;
  const double away = 1 - 1.0 / layer.ranks;
  const double even = 4 * away * layer.loads.heads / layer.ranks;  // in units of one head's rows
  const double ulysses = even + (3 * away - 1.0 / layer.ranks) * HeadsBeyondEven(layer);
  const double unit = static_cast<double>(layer.row_home.size() * layer.col_home.size());
  std::optional<Placement> best;
  if (static_cast<double>(least) <= kEnoughTrafficOverEven * even * unit) return best;
  const std::vector<double> needs =
      NeedsOf(layer.masks, layer.row_home, layer.col_home, layer.ranks);
  const AtHome home = HeadsAtHome(layer, needs, mean);
  const double columns = static_cast<double>(layer.col_home.size()) * options.load_per_block;
  for (const double tolerance :
       {options.tolerance, kRelaxedLoadOverPartTolerance * options.part_tolerance}) {
    const bool relaxed = tolerance > options.tolerance;
    if (relaxed &&
        (needs.empty() || static_cast<double>(least) <= kRelaxTrafficOverUlysses * ulysses * unit))
      break;
    const HeadFillOptions fill{mean * (1 + tolerance * kFillOverTolerance),
                               columns,
                               options.traffic_scans,
                               options.traffic_runs,
                               kEnoughTrafficOverEven * even,
                               needs,
                               home.heads,
                               home.load};
    const double limit = mean * (1 + tolerance);
    const auto take = [&](const HeadFill& found) {
      Placement placement = NewPlacement(layer, found.owner, totals);
      for (std::size_t h = 0; h < home.heads.size(); ++h) {
        if (home.heads[h]) placement.TakeHome(h);
      }
      placement.Fill(found.shares);
      placement.LevelShared(limit);
      if (static_cast<double>(placement.Heaviest()) > most) placement.Level(mean, limit);
      if (placement.WithinMemory() && static_cast<double>(placement.Heaviest()) <= most) {
        const std::int64_t busiest = traffic.Of(placement.owner()).Busiest();
        if (busiest < least) best.emplace(std::move(placement));
        least = std::min(least, busiest);
      }
      return static_cast<double>(least) <= kEnoughTrafficOverUlysses * ulysses * unit;
    };
    SearchHeadFills(totals, owner, layer.ranks, fill, take);
  }
  return best;
}

}  // namespace

Partition PlaceHeads(const RowLoads& loads,
                     const LayerMasks& masks,
                     std::span<const int> row_home,
                     std::span<const int> col_home,
                     int ranks,
                     const PlacedOptions& options) {
  const PlacedLayer layer{loads, masks, row_home, col_home, ranks, options};
  CheckSizes(layer);
  const std::vector<std::int64_t> totals = loads.HeadTotals();
  const std::int64_t total = std::accumulate(totals.begin(), totals.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / ranks;
  const double limit = mean * (1 + options.tolerance);
  const std::vector<int> contiguous = ContiguousOwners(loads.heads, ranks);
  const double ulysses = MaxOverMean(totals, contiguous, ranks) * mean;
  HeadSearchOptions search;
  search.extra_heads = 0;  // rows even out the rest, and equal counts have equal traffic
  search.kicks = 0;
  std::vector<int> owner = ulysses <= limit ? contiguous : SearchHeadOwners(totals, ranks, search);
  if (ulysses < MaxOverMean(totals, owner, ranks) * mean) owner = contiguous;
  Placement by_rows = NewPlacement(layer, owner, totals);
  by_rows.Relieve();
  by_rows.Level(mean, limit);
  if (options.traffic_scans == 0 || total == 0 || ulysses <= limit) return by_rows.Build();
  const double most = std::min(mean * (1 + options.part_tolerance), ulysses);
  TrafficCounter traffic(masks, row_home, col_home, ranks, options.counts);
  const std::int64_t least = traffic.Of(by_rows.owner()).Busiest();
  const auto by_heads = FillRanks(layer, totals, owner, mean, most, traffic, least);
  return by_heads ? by_heads->Build() : by_rows.Build();
}

Partition MakePlaced(const AttentionShape& shape,
                     const LayerMasks& masks,
                     const HomeLayout& home,
                     const PlacedOptions& options) {
  const RowLoads loads = RowLoadsOf(masks, options.row_price, options.counts);
  PlacedOptions weighed = options;
  if (options.row_price > 0) {
    const std::vector<std::int64_t> blocks = HeadCounts(masks, options.counts);
    const std::vector<std::int64_t> totals = loads.HeadTotals();
    const auto sum = [](const std::vector<std::int64_t>& of) {
      return static_cast<double>(std::accumulate(of.begin(), of.end(), std::int64_t{0}));
    };
    weighed.load_per_block = sum(totals) / std::max(1.0, sum(blocks));
  }
  return PlaceHeads(loads,
                    masks,
                    HomeRanks(shape.q_blocks(), shape.block.q, home),
                    HomeRanks(shape.k_blocks(), shape.block.k, home),
                    home.ranks(),
                    weighed);
}

}  // namespace dbsp::planner
