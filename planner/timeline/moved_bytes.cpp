// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/moved_bytes.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "planner/timeline/home_ring.h"
#include "planner/workload/distinct_masks.h"
#include "planner/workload/mask_counts.h"

namespace dbsp::planner {

std::int64_t MustMoveTokens(const AttentionShape& shape,
                            const BlockMask& mask,
                            std::span<const int> home_q,
                            std::span<const int> home_k) {
  std::vector<std::int64_t> left(mask.cols());  // column weight that is not packed yet
  std::vector<std::uint64_t> open(mask.words_per_row(), 0);  // columns with weight left
  for (std::size_t j = 0; j < left.size(); ++j) {
    left[j] = 2 * shape.k_tokens(static_cast<int>(j));
    open[j / 64] |= 1ULL << (j % 64);
  }
  std::int64_t packed = 0;
  for (int i = 0; i < mask.rows(); ++i) {
    const auto row = mask.row(i);
    const int home = home_q[i];
    std::int64_t weight = 2 * shape.q_tokens(i);
    for (std::size_t w = 0; w < row.size() && weight > 0; ++w) {
      for (std::uint64_t bits = row[w] & open[w]; bits != 0 && weight > 0; bits &= bits - 1) {
        const std::size_t j = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        if (home_k[j] == home) continue;
        const std::int64_t part = std::min(weight, left[j]);
        packed += part;
        weight -= part;
        left[j] -= part;
        if (left[j] == 0) open[w] &= ~(1ULL << (j % 64));
      }
    }
  }
  return packed;
}

std::int64_t MustMoveBytes(const AttentionShape& shape,
                           const LayerMasks& masks,
                           const HomeLayout& home,
                           DType dtype) {
  const std::vector<int> home_q = HomeRing(shape.q_blocks(), shape.block.q, home, 1);
  const std::vector<int> home_k = HomeRing(shape.k_blocks(), shape.block.k, home, 1);
  std::int64_t tokens = 0;
  for (const DistinctMask& entry : DistinctMasks(masks)) {
    tokens += static_cast<std::int64_t>(entry.heads.size()) *
              MustMoveTokens(shape, *entry.mask, home_q, home_k);
  }
  return tokens * shape.head_dim * BytesOf(dtype);
}

}  // namespace dbsp::planner
