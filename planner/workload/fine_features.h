// SPDX-License-Identifier: Apache-2.0
// Properties of lists of single keys that the choice between a gather kernel and a block kernel
// needs, and the keys that each rank needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Properties of the lists of one head. n_b is the number of keys of one list.
struct FineFeatures {
  std::int64_t lists = 0;  ///< empty ones included
  std::int64_t packed_keys = 0;  ///< sum of n_b
  std::int64_t padded_keys = 0;  ///< sum of n_b, each rounded up to whole tiles
  std::int64_t longest = 0;  ///< largest n_b
  double mean = 0;  ///< of n_b; 0 without lists
  double variance = 0;  ///< of n_b
  std::int64_t runs = 0;  ///< maximal ranges of consecutive keys, over all lists
  /// Blocks of `block` in which a key is listed, and the keys in them, summed over the query rows
  /// of blocks in units of lists: what a block kernel computes in place of `packed_keys`.
  std::int64_t active_blocks = 0;
  double block_keys = 0;

  /// packed_keys / block_keys; 1 without keys. A gather kernel is faster where this is below its
  /// efficiency divided by the block kernel's.
  /// source  FG-Attn (arXiv 2509.16518): work kept at M x 1 against blocks
  [[nodiscard]] double packed_share() const {
    return block_keys > 0 ? static_cast<double>(packed_keys) / block_keys : 1;
  }
};

/// shape    fine has ceil(tokens / queries) rows and `tokens` columns
/// requires queries >= 1, tile >= 1 (keys of a gather kernel's tile), sides of the block >= 1
[[nodiscard]] FineFeatures FeaturesOfLists(const BlockMask& fine,
                                           int queries,
                                           int tile,
                                           BlockSize block);

/// Groups of `group` consecutive keys that each rank needs: bit (r, g) is set if a list of any
/// query block of rank r names a key of group g. A transfer moves whole groups.
/// shape    owner[i] is the rank of query block i of `block_q` queries; the result has `ranks` rows
///          and ceil(tokens / group) columns
/// requires queries, block_q, group >= 1; 0 <= owner[i] < ranks; ceil(tokens / block_q) owners
[[nodiscard]] BlockMask NeededKeyGroups(const BlockMask& fine,
                                        int queries,
                                        int block_q,
                                        std::span<const int> owner,
                                        int ranks,
                                        int group);

/// Keys in the set groups of row `rank`. The last group may be short.
[[nodiscard]] std::int64_t KeysInGroups(const BlockMask& groups,
                                        int rank,
                                        std::int64_t tokens,
                                        int group);

}  // namespace dbsp::planner
