// SPDX-License-Identifier: Apache-2.0
#include "planner/placement/move_price.h"

#include <algorithm>
#include <numeric>

#include "planner/workload/mask_counts.h"

namespace dbsp::planner {

namespace {

/// An even share of the layer as one call. Every row is taken to be active as far as there are
/// blocks.
AttentionWork EvenShare(const AttentionShape& shape,
                        const LayerMasks& masks,
                        const Strategy& strategy,
                        int ranks,
                        const LayerCounts* counts) {
  const std::vector<std::int64_t> heads = HeadCounts(masks, counts);
  const std::int64_t active = std::accumulate(heads.begin(), heads.end(), std::int64_t{0}) / ranks;
  AttentionWork work;
  work.kernel = strategy.kernel;
  work.head_dim = shape.head_dim;
  work.block = shape.block;
  work.heads = shape.heads;
  work.active_blocks = active;
  work.active_pairs = active * shape.block.q * shape.block.k;
  work.rows = (std::int64_t{shape.heads} * shape.q_blocks() + ranks - 1) / ranks;
  work.active_rows = std::min(work.rows, active);
  return work;
}

}  // namespace

double MovePrice(const AttentionShape& shape,
                 const LayerMasks& masks,
                 const Strategy& strategy,
                 int ranks,
                 DType dtype,
                 const Costs& costs,
                 const LayerCounts* counts) {
  const AttentionWork work = EvenShare(shape, masks, strategy, ranks, counts);
  const std::int64_t active = work.active_blocks;
  if (active == 0) return 0;
  const double block_ns = costs.Attention(work).ns / static_cast<double>(active);
  if (block_ns <= 0) return 0;
  const std::int64_t token_bytes = std::int64_t{shape.head_dim} * BytesOf(dtype);
  const std::int64_t share = 4 * shape.heads * token_bytes * shape.tokens / ranks;
  const std::vector<int> all = FirstRanks(ranks);
  const double more = costs.AllToAll(all, 2 * share).ns - costs.AllToAll(all, share).ns;
  const std::int64_t moved =
      token_bytes * (shape.block.q + shape.block.k);  // mean of 2 q blocks and 2 k blocks
  return std::max(0.0, more) / static_cast<double>(share) * static_cast<double>(moved) / block_ns;
}

double RowPrice(const AttentionShape& shape,
                const LayerMasks& masks,
                const Strategy& strategy,
                int ranks,
                const Costs& costs,
                const LayerCounts* counts) {
  const AttentionWork even = EvenShare(shape, masks, strategy, ranks, counts);
  if (even.active_blocks == 0) return 0;
  AttentionWork rows = even;
  const std::int64_t more_rows = std::max<std::int64_t>(1, even.active_rows / 8);
  rows.active_rows += more_rows;
  rows.rows += more_rows;
  AttentionWork blocks = even;
  const std::int64_t more_blocks = std::max<std::int64_t>(1, even.active_blocks / 8);
  blocks.active_blocks += more_blocks;
  blocks.active_pairs += more_blocks * shape.block.q * shape.block.k;
  const double now = costs.Attention(even).ns;
  const double row_ns = (costs.Attention(rows).ns - now) / static_cast<double>(more_rows);
  const double block_ns = (costs.Attention(blocks).ns - now) / static_cast<double>(more_blocks);
  return row_ns > 0 && block_ns > 0 ? row_ns / block_ns : 0;
}

}  // namespace dbsp::planner
