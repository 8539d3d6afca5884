// SPDX-License-Identifier: Apache-2.0
#include "planner/balanced.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "planner/cell_search.h"
#include "planner/head_balance.h"
#include "planner/head_search.h"
#include "planner/home_ring.h"
#include "planner/mask_counts.h"

namespace dbsp::planner {
namespace {

/// A start this near to even needs no rival: the search does the rest, and a rival costs a pass
/// over the masks.
constexpr double kNearlyEven = 1.02;
/// Where the search stops. Many distinct masks are those of one step, planned anew at the next, and
/// each phase more is a pass over all of them; few are planned once and used again.
constexpr double kEnough = 1.001;
constexpr double kEnoughOfMany = 1.0025;
constexpr std::size_t kMany = 4;

/// Distinct masks among the group's heads, each with as many heads as it has there. Where all
/// numbers share a factor it is taken out, so that groups alike but in size are searched alike.
std::vector<DistinctMask> MasksOf(const LayerMasks& masks, const std::vector<int>& heads) {
  LayerMasks part;
  for (const int head : heads) part.head.push_back(masks.head[static_cast<std::size_t>(head)]);
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
  std::vector<int> owner(items);
  for (std::size_t i = 0; i < items; ++i) owner[i] = static_cast<int>(i) % ring;
  return owner;
}

RingOwners Greedy(const std::vector<DistinctMask>& masks, int ring) {
  LayerMasks all;
  for (const DistinctMask& entry : masks) {
    // A pointer that owns nothing: the caller's masks outlive this call.
    const BlockMaskPtr mask(BlockMaskPtr(), entry.mask);
    all.head.insert(all.head.end(), entry.heads.size(), mask);
  }
  return {GreedyOwners(RowSums(all), ring), GreedyOwners(ColumnSums(all), ring)};
}

std::int64_t Away(const std::vector<int>& owner, const std::vector<int>& home) {
  std::int64_t away = 0;
  for (std::size_t i = 0; i < owner.size(); ++i) away += owner[i] == home[i] ? 0 : 1;
  return away;
}

std::int64_t HeadsIn(const std::vector<DistinctMask>& masks) {
  std::int64_t heads = 0;
  for (const DistinctMask& entry : masks) heads += static_cast<std::int64_t>(entry.heads.size());
  return heads;
}

/// The start of the search, see MakeBalanced.
RingOwners StartOf(const std::vector<DistinctMask>& masks,
                   const RingOwners& home,
                   int ring,
                   double price) {
  std::int64_t total = 0;
  for (const DistinctMask& entry : masks) {
    total += entry.mask->Count() * static_cast<std::int64_t>(entry.heads.size());
  }
  const double even = kNearlyEven * static_cast<double>(total) / ring;
  RingOwners best;
  double best_cost = 0;
  for (int candidate = 0; candidate < 3; ++candidate) {
    RingOwners owners = candidate == 0   ? home
                        : candidate == 1 ? RingOwners{Strided(home.row.size(), ring),
                                                      Strided(home.col.size(), ring)}
                                         : Greedy(masks, ring);
    const auto barrier = static_cast<double>(RingBarrier(masks, owners, ring));
    const auto away = static_cast<double>(Away(owners.row, home.row) + Away(owners.col, home.col));
    const double cost = barrier + price * away;
    if (candidate == 0 || cost < best_cost) {
      best = std::move(owners);
      best_cost = cost;
    }
    if (barrier <= even) break;
  }
  return best;
}

RingOwners SearchGroup(const std::vector<DistinctMask>& masks,
                       const RingOwners& home,
                       int ring,
                       const BalancedOptions& options) {
  if (masks.empty()) return home;
  CellSearchOptions search;
  search.move_price = options.move_price * static_cast<double>(HeadsIn(masks)) / ring;
  search.trials = options.trials;
  search.good_enough = masks.size() < kMany ? kEnough : kEnoughOfMany;
  const int items = static_cast<int>(std::max(home.row.size(), home.col.size()));
  search.extra_items = std::max(1, (items / ring + 15) / 16);
  return SearchCells(masks, home, StartOf(masks, home, ring, search.move_price), ring, search);
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
  partition.groups.resize(static_cast<std::size_t>(ulysses));
  const std::vector<int> group_of = SearchHeadOwners(HeadCounts(masks), ulysses);
  for (int h = 0; h < shape.heads; ++h) {
    partition.groups[static_cast<std::size_t>(group_of[static_cast<std::size_t>(h)])]
        .heads.push_back(h);
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
    RingOwners owners = SearchGroup(searched[g], at_home, ring, options);
    group.row_owner = std::move(owners.row);
    group.col_owner = std::move(owners.col);
  }
  return partition;
}

}  // namespace dbsp::planner
