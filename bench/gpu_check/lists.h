// SPDX-License-Identifier: Apache-2.0
// The lists that the kernels read: the key blocks, or single keys, that each query block attends
// to. The host makes them from seeds; the same seed gives the same lists on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/arrays/array.h"
#include "core/block_mask.h"

namespace dbsp::gpu_check {

/// One list of key blocks or keys per tile, in the form of AttentionCall. A tile is one query block
/// of one head; the tiles are numbered [batch][heads][query blocks].
struct Lists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::int32_t> list;
  int q_blocks = 0;  ///< query blocks of one head

  [[nodiscard]] std::int64_t tiles() const { return static_cast<std::int64_t>(begin.size()) - 1; }
  [[nodiscard]] std::span<const std::int32_t> Tile(std::int64_t tile) const {
    const auto at = static_cast<std::size_t>(tile);
    return {list.data() + begin[at], static_cast<std::size_t>(begin[at + 1] - begin[at])};
  }
};

/// Tokens and block sizes of one head.
struct Blocks {
  int q_tokens = 0;
  int k_tokens = 0;
  int q_block = 128;
  int k_block = 128;  ///< 1 = single keys
  [[nodiscard]] int rows() const { return (q_tokens + q_block - 1) / q_block; }
  [[nodiscard]] int cols() const { return (k_tokens + k_block - 1) / k_block; }
};

/// Lists with every entry.
/// requires at most 2^31 - 1 entries, also in the functions below
[[nodiscard]] Lists Full(const Blocks& blocks, int heads);
/// Lists each aligned run of `run` entries with probability `density`; heads are independent.
[[nodiscard]] Lists Random(
    const Blocks& blocks, int heads, double density, int run, std::uint64_t seed);
/// The entries of a mask, equal for every head.
/// errors   Error{kMismatch} when the mask has another size than `blocks`
[[nodiscard]] Lists FromMask(const BlockMask& mask, const Blocks& blocks, int heads);
/// The key blocks of `k_block` tokens that contain a listed key.
[[nodiscard]] Lists BlocksOfKeys(const Lists& keys, int k_block);
/// Number of (query, key) pairs that the lists cover. Partial blocks count their real tokens.
[[nodiscard]] std::int64_t ActivePairs(const Lists& lists, const Blocks& blocks);

/// Kernels read lists that ascend strictly: an entry that is listed twice counts twice in the
/// softmax, and a descending one breaks the mask of the last tokens.
/// keys     lists of single keys, which may also be in the order of ArrangeRuns
///          (kernels/key_lists.h): aligned runs of kRunKeys keys first, then the other keys
/// errors   Error{kInternal} with the first tile and entry that are wrong
void RequireAscending(const Lists& lists, bool keys);

/// uint8 [heads][q_blocks][k_blocks], 1 = listed. bench/peers.py makes PyTorch's block masks of it.
[[nodiscard]] Array DenseMask(const Lists& lists, int k_blocks);

}  // namespace dbsp::gpu_check
