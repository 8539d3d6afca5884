// SPDX-License-Identifier: Apache-2.0
#include "planner/move_price.h"

#include <algorithm>
#include <numeric>

#include "planner/mask_counts.h"

namespace dbsp::planner {

double MovePrice(const AttentionShape& shape,
                 const LayerMasks& masks,
                 const Strategy& strategy,
                 int ranks,
                 DType dtype,
                 const Costs& costs) {
  const std::vector<std::int64_t> counts = HeadCounts(masks);
  const std::int64_t kept = std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) / ranks;
  if (kept == 0) return 0;
  AttentionWork work;
  work.kernel = strategy.kernel;
  work.head_dim = shape.head_dim;
  work.block = shape.block;
  work.heads = shape.heads;
  work.kept_blocks = kept;
  work.kept_pairs = kept * shape.block.q * shape.block.k;
  work.rows = (std::int64_t{shape.heads} * shape.q_blocks() + ranks - 1) / ranks;
  work.active_rows = std::min(work.rows, kept);
  const double block_ns = costs.Attention(work).ns / static_cast<double>(kept);
  if (block_ns <= 0) return 0;
  const std::int64_t token_bytes = std::int64_t{shape.head_dim} * BytesOf(dtype);
  const std::int64_t share = 4 * shape.heads * token_bytes * shape.tokens / ranks;
  const double more = costs.AllToAll(ranks, 2 * share).ns - costs.AllToAll(ranks, share).ns;
  const std::int64_t moved =
      token_bytes * (shape.block.q + shape.block.k);  // of the two kinds, 2/2
  return std::max(0.0, more) / static_cast<double>(share) * static_cast<double>(moved) / block_ns;
}

}  // namespace dbsp::planner
