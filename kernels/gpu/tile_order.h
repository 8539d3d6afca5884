// SPDX-License-Identifier: Apache-2.0
// In which order the thread blocks of a persistent launch take the tiles of an AttentionCall.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dbsp::kernels::gpu {

/// The `order` of an AttentionCall: heavy tiles first, so that the last ones to start are small,
/// but tiles of about the same weight by head and query block, so that thread blocks at work at the
/// same time read the same keys out of the second-level cache.
///
/// shape    begin [tiles + 1], ascending, tiles a multiple of q_blocks; `group` adjacent query
///          blocks of a head are one entry (Variant: tile_m / q_block), named by the first one's
///          tile; a head's last group may be short
/// returns  entries with at least one key, by (floor(log_1.5(list entries)) descending, tile);
///          every other tile's list is empty
/// errors   Error{kInvalidArgument} when begin is empty or descends, or the counts do not fit
/// threads  pure
/// source   classes of a ratio of 1.5 instead of Graham's exact longest processing time first
///          (1969): tests/kernels/gpu_tile_order_test.cpp simulates the price of it
std::vector<std::int32_t> TileOrder(std::span<const std::int32_t> begin, int q_blocks, int group);

/// Numbers classes of weights: floor(log_1.5(weight)), weight >= 1.
int WeightClass(std::int64_t weight);

}  // namespace dbsp::kernels::gpu
