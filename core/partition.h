// SPDX-License-Identifier: Apache-2.0
// Placement of the heads and blocks of one (step, layer) on ranks, in one form for every family.
//
// A partition is a list of head groups. The ranks of a group compute the heads of the group. Where
// a group has more than one rank, its query blocks (rows) are divided among the ranks. With a ring
// exchange its key blocks (columns) are divided as well. In this form
//   ulysses   P groups of one rank,
//   ring      one group of P ranks,
//   usp, dbsp, balanced   U groups of R ranks,
//   placed    one group per split head, and one group per rank for its heads that are not split.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"
#include "core/status.h"

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
  /// [heads] chunk of every head. The exchange of chunk c + 1 overlaps the attention of chunk c.
  /// Empty when all heads are exchanged together.
  std::vector<int> chunk_of_head = {};
  bool operator==(const Partition&) const = default;
};

/// Whether `partition` is legal. Every head is in exactly one group. Every rank index is in range
/// and appears once per group. Owner lists have the right length and range; col_owner is given
/// exactly when `needs_columns` and the group has more than one rank. Chunks are numbered from 0
/// without a gap, and there are at least two of them or none.
Status ValidatePartition(const Partition& partition, bool needs_columns);

/// Contiguous split of `items` over `parts`, as runtimes with padding split: each part takes
/// ceil(items / parts) items until none is left, so the last parts may be short or empty.
/// returns  begin of each part, parts + 1 values, the last equal to items
/// errors   Error{kInvalidArgument} when parts < 1 or items < 0
[[nodiscard]] std::vector<std::int64_t> CeilSplit(std::int64_t items, int parts);

/// Distribution of tokens over ranks outside attention (sequence parallelism): rank p holds tokens
/// [begin[p], begin[p + 1]) of all heads. Boundaries are multiples of lcm(block.q, block.k), and
/// CeilSplit divides these units over the ranks. Every query and key block is therefore on one
/// rank.
struct HomeLayout {
  std::vector<std::int64_t> begin;  ///< [ranks + 1]
  [[nodiscard]] int ranks() const { return static_cast<int>(begin.size()) - 1; }
  [[nodiscard]] int RankOf(std::int64_t token) const;
  bool operator==(const HomeLayout&) const = default;
};
[[nodiscard]] HomeLayout MakeHomeLayout(const AttentionShape& shape, int ranks);

}  // namespace dbsp
