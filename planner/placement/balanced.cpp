// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/balanced.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "planner/placement/cell_search.h"
#include "planner/placement/head_balance.h"
#include "planner/placement/head_search.h"
#include "planner/placement/placed.h"
#include "planner/timeline/home_ring.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/layer_counts.h"
#include "planner/workload/mask_counts.h"
#include "planner/workload/mask_sum.h"
#include "planner/workload/popcount.h"
#include "planner/workload/row_loads.h"

namespace dbsp::planner {
namespace {

/// The search stops at this ratio to an even split: less is within the variation of a kernel's
/// time.
constexpr double kEvenEnough = 1.001;
/// Other starts move most items. They are tried only if the search from home ends above this ratio.
constexpr double kTryOtherStarts = 1.003;
/// Other starts are not tried either if the search ends this near to the lower bound of whole rows.
constexpr double kNearLowerBound = 1.0003;
/// If moving most items costs less than this fraction of the mean, the search from home gets a
/// third of the scans: home is the slowest start for masks along the diagonal.
constexpr double kMovesAreFree = 0.002;

/// Distinct masks of the group's heads. Common factors of their numbers of heads are divided out,
/// so that groups that differ only in size are searched in the same way.
std::vector<DistinctMask> MasksOf(const LayerMasks& masks, const std::vector<int>& heads) {
  LayerMasks part;
  for (const int head : heads) part.head.push_back(masks.head[head]);
  std::vector<DistinctMask> distinct = DistinctMasks(part);
  std::size_t factor = 0;
  for (const DistinctMask& entry : distinct) factor = std::gcd(factor, entry.heads.size());
  for (DistinctMask& entry : distinct) entry.heads.resize(entry.heads.size() / factor);
  return distinct;
}

bool Same(const std::vector<DistinctMask>& a, const std::vector<DistinctMask>& b) {
  return std::ranges::equal(a, b, [](const DistinctMask& x, const DistinctMask& y) {
    return x.mask == y.mask && x.heads.size() == y.heads.size();
  });
}

std::vector<int> Strided(std::size_t items, int ring) {
  const auto parts = static_cast<std::size_t>(ring);
  const std::size_t left = items % parts;
  std::vector<int> owner(items);
  for (std::size_t i = 0; i < items; ++i) {
    const std::size_t over = i - (items - left);  // index in the last, incomplete round
    const bool whole = i < items - left;
    owner[i] = static_cast<int>(whole ? i % parts : over * parts / left);
  }
  return owner;
}

/// db-SP's greedy owners, from the sums of rows and columns.
RingOwners Greedy(const MaskSum& masks, int ring) {
  const std::vector<int> rows(masks.rows(), 0);
  const std::vector<int> cols(masks.cols(), 0);
  return {GreedyOwners(masks.RowParts(cols, 1), ring),
          GreedyOwners(masks.ColumnParts(rows, 1), ring)};
}

std::int64_t HeadsIn(const std::vector<DistinctMask>& masks) {
  std::int64_t heads = 0;
  for (const DistinctMask& entry : masks) heads += static_cast<std::int64_t>(entry.heads.size());
  return heads;
}

std::int64_t ActiveBlocks(const std::vector<DistinctMask>& masks, const LayerCounts* counts) {
  std::int64_t active = 0;
  for (const DistinctMask& entry : masks) {
    active += (counts == nullptr ? CountBits(entry.mask->words())
                                 : counts->Of(entry.mask).active_blocks) *
              static_cast<std::int64_t>(entry.heads.size());
  }
  return active;
}

RingOwners SearchGroup(const std::vector<DistinctMask>& masks,
                       const MaskSum& sum,
                       const RingOwners& home,
                       int ulysses,
                       int ring,
                       const BalancedOptions& options) {
  CellSearchOptions search;
  search.move_price = options.move_price * static_cast<double>(HeadsIn(masks)) / (ring * ulysses);
  search.scans = options.scans;
  search.good_enough = kEvenEnough;
  const int items = static_cast<int>(std::max(home.row.size(), home.col.size()));
  search.extra_items = std::max(1, (items / ring + 15) / 16);
  const std::size_t rows = home.row.size();
  const std::size_t cols = home.col.size();
  // In the other starts (R - 1) / R of the items leave home.
  const double leaving = search.move_price * static_cast<double>(rows + cols) * (ring - 1) / ring;
  const double mean = static_cast<double>(ActiveBlocks(masks, options.counts)) / ring;
  CellSearchOptions from_home = search;
  if (leaving < kMovesAreFree * mean) from_home.scans /= 3;
  FoundOwners best = SearchCells(sum, home, home, ring, from_home);
  for (const bool greedy : {false, true}) {
    if (best.cost <= kTryOtherStarts * mean || best.cost - best.least <= leaving) break;
    if (best.cost <= kNearLowerBound * best.least) break;
    const RingOwners start =
        greedy ? Greedy(sum, ring) : RingOwners{Strided(rows, ring), Strided(cols, ring)};
    FoundOwners found = SearchCells(sum, home, start, ring, search);
    if (found.cost < best.cost) best = std::move(found);
  }
  return best.owners;
}

}  // namespace

Partition MakeBalanced(const AttentionShape& shape,
                       const LayerMasks& masks,
                       int ulysses,
                       int ring,
                       const HomeLayout& home,
                       const BalancedOptions& options) {
  DBSP_CHECK(ulysses >= 1 && ring >= 1 && ulysses * ring == home.ranks());
  Partition partition{ulysses * ring, shape.heads, shape.q_blocks(), shape.k_blocks(), {}};
  partition.groups.resize(ulysses);
  const std::vector<std::int64_t> weights =
      options.row_price > 0 ? RowLoadsOf(masks, options.row_price, options.counts).HeadTotals()
                            : HeadCounts(masks, options.counts);
  const std::vector<int> group_of = SearchHeadOwners(weights, ulysses);
  for (int h = 0; h < shape.heads; ++h) {
    partition.groups[group_of[h]].heads.push_back(h);
  }
  const RingOwners at_home{HomeRing(shape.q_blocks(), shape.block.q, home, ulysses),
                           HomeRing(shape.k_blocks(), shape.block.k, home, ulysses)};
  std::vector<std::vector<DistinctMask>> searched;
  for (std::size_t g = 0; g < partition.groups.size(); ++g) {
    HeadGroup& group = partition.groups[g];
    for (int i = 0; i < ring; ++i) group.ranks.push_back(i * ulysses + static_cast<int>(g));
    if (ring == 1) continue;
    searched.push_back(MasksOf(masks, group.heads));
    std::size_t same = 0;
    while (!Same(searched[same], searched[g])) ++same;
    if (same < g) {
      group.row_owner = partition.groups[same].row_owner;
      group.col_owner = partition.groups[same].col_owner;
      continue;
    }
    const std::vector<DistinctMask>& group_masks = searched[g];
    RingOwners owners = at_home;
    if (!group_masks.empty() && !at_home.row.empty() && !at_home.col.empty()) {
      std::optional<MaskSum> own;
      const bool whole_layer = options.counts != nullptr &&
                               options.counts->masks().head == masks.head &&
                               HeadsIn(group_masks) == shape.heads;
      const MaskSum& sum = whole_layer ? options.counts->Sum() : own.emplace(group_masks);
      owners = SearchGroup(group_masks, sum, at_home, ulysses, ring, options);
    }
    group.row_owner = std::move(owners.row);
    group.col_owner = std::move(owners.col);
  }
  return partition;
}

}  // namespace dbsp::planner
