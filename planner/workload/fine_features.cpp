// SPDX-License-Identifier: Apache-2.0
#include "planner/workload/fine_features.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/fine_mask.h"

namespace dbsp::planner {
namespace {

/// Runs of set bits: bits whose predecessor is not set.
std::int64_t RunsOf(std::span<const std::uint64_t> words) {
  std::int64_t runs = 0;
  std::uint64_t carry = 0;  // the last bit of the previous word
  for (const std::uint64_t word : words) {
    runs += std::popcount(word & ~(word << 1 | carry));
    carry = word >> 63;
  }
  return runs;
}

}  // namespace

FineFeatures FeaturesOfLists(const BlockMask& fine, int queries, int tile, BlockSize block) {
  DBSP_CHECK(tile >= 1);
  FineFeatures features;
  features.lists = fine.rows();
  double squares = 0;
  for (int i = 0; i < fine.rows(); ++i) {
    const std::int64_t keys = fine.RowCount(i);
    features.packed_keys += keys;
    features.padded_keys += (keys + tile - 1) / tile * tile;
    features.longest = std::max(features.longest, keys);
    features.runs += RunsOf(fine.row(i));
    squares += static_cast<double>(keys) * static_cast<double>(keys);
  }
  if (features.lists > 0) {
    const auto lists = static_cast<double>(features.lists);
    features.mean = static_cast<double>(features.packed_keys) / lists;
    features.variance = std::max(0.0, squares / lists - features.mean * features.mean);
  }
  const AttentionShape shape{1, 1, fine.cols(), block};
  const BlockMask blocks = BlocksOfFine(fine, queries, block);
  for (int i = 0; i < blocks.rows(); ++i) {
    std::int64_t keys = 0;
    for (int j = 0; j < blocks.cols(); ++j) {
      if (!blocks.Get(i, j)) continue;
      ++features.active_blocks;
      keys += shape.k_tokens(j);
    }
    features.block_keys += static_cast<double>(keys) * block.q / queries;
  }
  return features;
}

BlockMask NeededKeyGroups(const BlockMask& fine,
                          int queries,
                          int block_q,
                          std::span<const int> owner,
                          int ranks,
                          int group) {
  const std::int64_t tokens = fine.cols();
  DBSP_CHECK(queries >= 1 && block_q >= 1 && group >= 1 && ranks >= 1);
  DBSP_CHECK(static_cast<std::int64_t>(owner.size()) == (tokens + block_q - 1) / block_q);
  // Lists of each rank, each once: a list of 128 queries may belong to two blocks of one rank.
  BlockMask lists(ranks, fine.rows());
  for (std::size_t i = 0; i < owner.size(); ++i) {
    DBSP_CHECK(owner[i] >= 0 && owner[i] < ranks);
    const std::int64_t begin = static_cast<std::int64_t>(i) * block_q;
    const std::int64_t end = std::min(begin + block_q, tokens);
    lists.SetRange(owner[i],
                   static_cast<int>(begin / queries),
                   static_cast<int>((end + queries - 1) / queries));
  }
  BlockMask keys(ranks, static_cast<int>(tokens));
  std::vector<int> of_rank;
  for (int r = 0; r < ranks; ++r) {
    of_rank.clear();
    lists.AppendRow(r, of_rank);
    const auto to = keys.mutable_row(r);
    for (const int list : of_rank) {
      const auto from = fine.row(list);
      for (std::size_t w = 0; w < to.size(); ++w) to[w] |= from[w];
    }
  }
  BlockMask groups(ranks, static_cast<int>((tokens + group - 1) / group));
  for (int r = 0; r < ranks; ++r) {
    for (int g = 0; g < groups.cols(); ++g) {
      const std::int64_t begin = static_cast<std::int64_t>(g) * group;
      const auto end = static_cast<int>(std::min(begin + group, tokens));
      if (keys.RowCount(r, static_cast<int>(begin), end) > 0) groups.Set(r, g);
    }
  }
  return groups;
}

std::int64_t KeysInGroups(const BlockMask& groups, int rank, std::int64_t tokens, int group) {
  std::int64_t keys = static_cast<std::int64_t>(groups.RowCount(rank)) * group;
  const int last = groups.cols() - 1;
  if (last >= 0 && groups.Get(rank, last)) {
    keys -= static_cast<std::int64_t>(groups.cols()) * group - tokens;
  }
  return keys;
}

}  // namespace dbsp::planner
