// SPDX-License-Identifier: Apache-2.0
#include "planner/timeline/moved_bytes.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/matrix.h"
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
  // Columns whose home is another rank, by the rank.
  const auto words = static_cast<std::size_t>(mask.words_per_row());
  const int ranks = 1 + std::max(home_q.empty() ? 0 : std::ranges::max(home_q),
                                 home_k.empty() ? 0 : std::ranges::max(home_k));
  Matrix<std::uint64_t> away(static_cast<std::size_t>(ranks), words, ~std::uint64_t{0});
  for (std::size_t j = 0; j < left.size(); ++j) away(home_k[j], j / 64) &= ~(1ULL << (j % 64));
  std::int64_t packed = 0;
  std::size_t first = 0;  // word of the first column with weight left
  for (int i = 0; i < mask.rows(); ++i) {
    const auto row = mask.row(i);
    const auto from_others = away.row(home_q[i]);
    std::int64_t weight = 2 * shape.q_tokens(i);
    while (first < words && open[first] == 0) ++first;
    for (std::size_t w = first; w < words && weight > 0; ++w) {
      for (std::uint64_t bits = row[w] & open[w] & from_others[w]; bits != 0 && weight > 0;
           bits &= bits - 1) {
        const std::size_t j = w * 64 + static_cast<std::size_t>(std::countr_zero(bits));
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
