// SPDX-License-Identifier: Apache-2.0
// Fine masks: for each head and each query block of M queries, the single keys that the block
// attends to. They are stored as bits, one bit per (query block, key): 223 MB for one layer of 40
// heads and 75,600 tokens with M = 128. Lists of keys are made when they are needed, for one query
// block or for one head.
#pragma once

#include <cstdint>
#include <vector>

#include "core/block_mask.h"
#include "core/shape.h"

namespace dbsp {

/// Queries per list of keys that a gather kernel takes.
inline constexpr int kListQueries[] = {64, 128};

/// Lists of keys of one head, in compressed sparse rows: the keys of query block i are
/// keys[offsets[i]] .. keys[offsets[i + 1] - 1], ascending.
struct FineLists {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> keys;
  bool operator==(const FineLists&) const = default;
};

/// The fine masks of one (step, layer).
/// shape    bits.head[h] has ceil(tokens / queries) rows and `tokens` columns
struct FineMasks {
  int queries = 128;  ///< M, queries per row
  LayerMasks bits;  ///< heads with equal masks share an object

  [[nodiscard]] std::int64_t tokens() const { return bits.cols(); }
  /// requires 0 <= head < bits.heads()
  [[nodiscard]] FineLists ListsOf(int head) const;
};

/// Appends the keys of query block `row` to `keys`, ascending.
void AppendKeys(const BlockMask& fine, int row, std::vector<std::int32_t>& keys);

/// The block mask of a fine mask. Block (i, j) is active if any query block that has queries of
/// row i lists any key of column j. No other block is active.
/// shape    fine has ceil(tokens / queries) rows and `tokens` columns; the result has
///          ceil(tokens / block.q) rows and ceil(tokens / block.k) columns
/// requires queries >= 1, sides of the block >= 1
[[nodiscard]] BlockMask BlocksOfFine(const BlockMask& fine, int queries, BlockSize block);
/// The same for all heads. Heads that share a fine mask share the block mask.
[[nodiscard]] LayerMasks BlocksOfFine(const FineMasks& fine, BlockSize block);

/// What fine masks keep at three granularities.
struct FineCounts {
  /// Kept and all: (query block, key) pairs at M x 1, and square blocks of 64 and 128 tokens.
  std::int64_t keys = 0;
  std::int64_t all_keys = 0;
  std::int64_t blocks64 = 0;
  std::int64_t all_blocks64 = 0;
  std::int64_t blocks128 = 0;
  std::int64_t all_blocks128 = 0;
  std::int64_t longest = 0;  ///< keys of the longest list

  /// Adds one head.
  void Add(const BlockMask& fine, int queries);
  void Add(const FineCounts& other);
  /// Kept divided by all; 0 without any.
  [[nodiscard]] double key_share() const { return Share(keys, all_keys); }
  [[nodiscard]] double share64() const { return Share(blocks64, all_blocks64); }
  [[nodiscard]] double share128() const { return Share(blocks128, all_blocks128); }
  bool operator==(const FineCounts&) const = default;

 private:
  static double Share(std::int64_t part, std::int64_t all) {
    return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all);
  }
};

}  // namespace dbsp
