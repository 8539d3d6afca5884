// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/families.h"

#include <algorithm>
#include <optional>

#include "core/error.h"
#include "core/strategy_name.h"
#include "planner/placement/balanced.h"
#include "planner/placement/chunked.h"
#include "planner/placement/head_balance.h"
#include "planner/placement/placed.h"
#include "planner/timeline/chunks.h"
#include "planner/timeline/home_ring.h"
#include "planner/workload/layer_counts.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {
namespace {

void CheckInputs(Family family,
                 const AttentionShape& shape,
                 const LayerMasks& masks,
                 int ranks,
                 int ulysses,
                 int ring,
                 const HomeLayout& home) {
  if (ulysses < 1 || ring < 1 || ranks < 1 || ulysses * ring != ranks) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: {} x {} ranks is not {}; degrees must be factors of the ranks",
         NameOf(family),
         ulysses,
         ring,
         ranks);
  }
  const bool degrees_fit =
      ((family != Family::kUlysses && family != Family::kPlaced) || ring == 1) &&
      (family != Family::kRing || ulysses == 1) &&
      (family != Family::kDbsp || ulysses <= shape.heads);
  if (!degrees_fit) {
    Fail(ErrorCode::kInvalidArgument,
         "{} cannot split {} heads with degrees {} x {}; DegreesOf() lists those it can",
         NameOf(family),
         shape.heads,
         ulysses,
         ring);
  }
  if (home.ranks() != ranks) {
    Fail(ErrorCode::kInvalidArgument, "home layout has {} ranks, not {}", home.ranks(), ranks);
  }
  if (masks.heads() != shape.heads || masks.rows() != shape.q_blocks() ||
      masks.cols() != shape.k_blocks()) {
    Fail(ErrorCode::kInvalidArgument,
         "masks are {} x {} x {}, the shape has {} heads of {} x {} blocks",
         masks.heads(),
         masks.rows(),
         masks.cols(),
         shape.heads,
         shape.q_blocks(),
         shape.k_blocks());
  }
}

}  // namespace

std::vector<std::pair<int, int>> DegreesOf(Family family, int ranks, int heads) {
  if (ranks < 1 || heads < 1) {
    Fail(ErrorCode::kInvalidArgument, "degrees for {} heads on {} ranks", heads, ranks);
  }
  if (family == Family::kUlysses || family == Family::kPlaced) return {{ranks, 1}};
  if (family == Family::kRing) return {{1, ranks}};
  std::vector<std::pair<int, int>> degrees;
  for (int ring = 1; ring <= ranks; ++ring) {
    if (ranks % ring != 0) continue;
    if (family == Family::kDbsp && ranks / ring > heads) continue;
    degrees.emplace_back(ranks / ring, ring);
  }
  return degrees;
}

Exchange ExchangeOf(Family family, int ring_degree) { return UsualExchange(family, ring_degree); }

Partition MakePartition(Family family,
                        const AttentionShape& shape,
                        const LayerMasks& masks,
                        int ranks,
                        int ulysses_degree,
                        int ring_degree,
                        const HomeLayout& home,
                        const PartitionOptions& options) {
  CheckInputs(family, shape, masks, ranks, ulysses_degree, ring_degree, home);
  if (options.chunks > 1) {
    PartitionOptions single = options;
    single.chunks = 1;
    return MakeChunked(family,
                       shape,
                       masks,
                       ranks,
                       ring_degree,
                       options.chunks,
                       options.counts,
                       [&](const AttentionShape& part_shape, const LayerMasks& part) {
                         return MakePartition(
                             family, part_shape, part, ranks, ranks, 1, home, single);
                       });
  }
  if (family == Family::kPlaced) {
    PlacedOptions placed;
    placed.memory_per_rank = options.memory_per_rank;
    placed.traffic_scans = options.placed_scans;
    placed.row_price = options.row_price;
    placed.counts = options.counts;
    const std::int64_t token_bytes = std::int64_t{shape.head_dim} * BytesOf(options.dtype);
    placed.row_bytes = 2 * token_bytes * shape.block.q;
    placed.column_bytes = 2 * token_bytes * shape.block.k;
    return MakePlaced(shape, masks, home, placed);
  }
  if (family == Family::kBalanced) {
    const BalancedOptions balanced{
        options.move_price, options.balanced_scans, options.row_price, options.counts};
    return MakeBalanced(shape, masks, ulysses_degree, ring_degree, home, balanced);
  }
  const bool dbsp = family == Family::kDbsp;
  Partition partition{ranks, shape.heads, shape.q_blocks(), shape.k_blocks(), {}};
  partition.groups.resize(ulysses_degree);

  const std::vector<int> group_of =
      dbsp && ulysses_degree > 1 ? GreedyOwners(HeadCounts(masks, options.counts), ulysses_degree)
                                 : ContiguousOwners(shape.heads, ulysses_degree);
  for (int h = 0; h < shape.heads; ++h) {
    partition.groups[group_of[h]].heads.push_back(h);
  }
  std::vector<int> rows;
  std::vector<int> cols;
  if (ring_degree > 1) {
    rows = HomeRing(shape.q_blocks(), shape.block.q, home, ulysses_degree);
    cols = HomeRing(shape.k_blocks(), shape.block.k, home, ulysses_degree);
    if (dbsp) {
      std::optional<LayerCounts> own;
      const LayerCounts& counts = options.counts == nullptr ? own.emplace(masks) : *options.counts;
      rows = GreedyOwners(counts.RowSums(masks), ring_degree, options.dbsp_reward, rows);
      cols = GreedyOwners(counts.ColumnSums(masks), ring_degree, options.dbsp_reward, cols);
    }
  }
  for (int g = 0; g < ulysses_degree; ++g) {
    HeadGroup& group = partition.groups[g];
    for (int i = 0; i < ring_degree; ++i) group.ranks.push_back(i * ulysses_degree + g);
    group.row_owner = rows;
    group.col_owner = cols;
  }
  return partition;
}

}  // namespace dbsp::planner
