// SPDX-License-Identifier: Apache-2.0
// Lower bound on the traffic of any placement of one mask.
#pragma once

#include <cstdint>
#include <span>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Tokens of one head that must leave their home rank, over all ranks. A row counts its tokens
/// twice (Q and O), a column too (K and V). If the row and the column of an active block have
/// different homes, one of the two must move: this is a weighted vertex cover of a bipartite graph.
/// Every packing of its edges is a lower bound (weak duality). This packing is built greedily, row
/// by row, in time linear in the words of the mask.
/// shape    home_q[rows], home_k[cols]: rank of every block
/// ensures  result <= the minimum over all placements; 0 if every active block has row and column
///          on one rank
[[nodiscard]] std::int64_t MustMoveTokens(const AttentionShape& shape,
                                          const BlockMask& mask,
                                          std::span<const int> home_q,
                                          std::span<const int> home_k);

/// Bytes of a layer that must leave their homes under every placement: MustMoveTokens of every
/// head. Each distinct mask is counted once.
[[nodiscard]] std::int64_t MustMoveBytes(const AttentionShape& shape,
                                         const LayerMasks& masks,
                                         const HomeLayout& home,
                                         DType dtype);

}  // namespace dbsp::planner
