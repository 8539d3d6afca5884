// SPDX-License-Identifier: Apache-2.0
// The order in which the thread blocks of a persistent launch process the tiles of an
// AttentionCall.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::kernels::gpu {

/// AttentionCall::order. Heavy tiles come first, so that the last tiles to start are small. Tiles
/// of similar weight are sorted by head and query block, so that thread blocks that run
/// concurrently read the same keys from the L2 cache.
///
/// shape    begin [tiles + 1], ascending; tiles is a multiple of q_blocks. `group` adjacent query
///          blocks of a head (tile_m / q_block of the Variant) are one entry, identified by the
///          tile of the first one. The last group of a head may be short
/// returns  the entries with at least one key, sorted by (floor(log_1.5(list entries)) descending,
///          tile). All other entries have empty lists
/// errors   Error{kInvalidArgument} when begin is empty or descends, or the counts do not fit
/// threads  pure
/// source   Graham's longest processing time first (1969), with weight classes of ratio 1.5 instead
/// of
///          exact weights; tests/kernels/gpu_tile_order_test.cpp simulates the loss
std::vector<std::int32_t> TileOrder(std::span<const std::int32_t> begin, int q_blocks, int group);

/// Weight class floor(log_1.5(weight)). requires weight >= 1
int WeightClass(std::int64_t weight);

}  // namespace dbsp::kernels::gpu
