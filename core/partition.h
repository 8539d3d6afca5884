// SPDX-License-Identifier: Apache-2.0
// Placement of one (step, layer)'s heads and blocks on ranks, in one form for every family.
//
// A partition is a list of head groups. A group's heads are computed together by the group's
// ranks; with more than one rank the group's query blocks (rows) are divided among them, and so
// are the key/value blocks (columns) when they travel round a ring. Then
//   ulysses   P groups of one rank,
//   ring      one group of P ranks,
//   usp, dbsp, balanced   U groups of R ranks,
//   placed    a group per split head (its own ranks) and a group per rank for whole heads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"

namespace dbsp {

struct HeadGroup {
  std::vector<int> heads;  ///< ascending, never empty unless heads < groups
  std::vector<int> ranks;  ///< ring order; position in this list = ring index
  /// [q_blocks] ring index that computes the row; empty when the group has one rank.
  std::vector<int> row_owner;
  /// [k_blocks] ring index that holds the column before the first ring step; empty when the group
  /// has one rank or when the exchange is not a ring.
  std::vector<int> col_owner;
  bool operator==(const HeadGroup&) const = default;
};

struct Partition {
  int ranks = 1;
  int heads = 1;
  int q_blocks = 0;
  int k_blocks = 0;
  std::vector<HeadGroup> groups;
  /// [heads] chunk of every head: the exchange of chunk c + 1 runs under the attention of chunk c.
  /// Empty when all heads are exchanged together.
  std::vector<int> chunk_of_head = {};
  bool operator==(const Partition&) const = default;
};

/// Why `partition` is not a legal placement, or an empty string when it is: every head in exactly
/// one group, every rank index in range and once per group, owner lists of the right length and
/// range, columns given exactly when `needs_columns` and the group has more than one rank; chunks
/// numbered from 0 without a gap, at least two.
[[nodiscard]] std::string PartitionProblem(const Partition& partition, bool needs_columns);

/// Contiguous split of `items` over `parts` as padded runtimes do it: ceil(items / parts) each
/// until none is left, so the last parts may be short or empty.
/// returns  begin of each part, parts + 1 values, the last equal to items
/// errors   Error{kInvalidArgument} when parts < 1 or items < 0
[[nodiscard]] std::vector<std::int64_t> CeilSplit(std::int64_t items, int parts);

/// Where tokens live outside attention (sequence parallelism): rank p holds tokens
/// [begin[p], begin[p + 1]) of all heads. Boundaries fall on multiples of lcm(block.q, block.k),
/// units spread by CeilSplit, so that every query and key block has one home.
struct HomeLayout {
  std::vector<std::int64_t> begin;  ///< [ranks + 1]
  [[nodiscard]] int ranks() const { return static_cast<int>(begin.size()) - 1; }
  [[nodiscard]] int RankOf(std::int64_t token) const;
  bool operator==(const HomeLayout&) const = default;
};
[[nodiscard]] HomeLayout MakeHomeLayout(const AttentionShape& shape, int ranks);

}  // namespace dbsp
