// SPDX-License-Identifier: Apache-2.0
// How little any placement can move: a lower bound on the traffic of one mask.
#pragma once

#include <cstdint>
#include <span>

#include "core/block_mask.h"
#include "core/partition.h"
#include "core/shape.h"

namespace dbsp::planner {

/// Tokens of one head that must leave their home rank, over all ranks: Q and O of a row count its
/// tokens twice, K and V of a column twice. Every active block whose row and column live on
/// different ranks needs its row or its column moved, which is a weighted vertex cover of a
/// bipartite graph; any packing of its edges is a lower bound (weak duality), and this one is built
/// greedily, row by row, in O(words of the mask). shape    home_q[rows], home_k[cols]: rank of
/// every block ensures  result <= the smallest possible; 0 when everything kept is at home
[[nodiscard]] std::int64_t MustMoveTokens(const AttentionShape& shape,
                                          const BlockMask& mask,
                                          std::span<const int> home_q,
                                          std::span<const int> home_k);

/// Bytes of a layer that must leave their homes, whatever the placement: MustMoveTokens of every
/// head, each distinct mask looked at once. LayerVolumes::must_move_bytes.
[[nodiscard]] std::int64_t MustMoveBytes(const AttentionShape& shape,
                                         const LayerMasks& masks,
                                         const HomeLayout& home,
                                         DType dtype);

}  // namespace dbsp::planner
