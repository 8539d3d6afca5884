// SPDX-License-Identifier: Apache-2.0
// The lists that gpu_check runs kernels over: which key blocks, or keys, each query block takes.
// Made on the host from seeds; the same seed gives the same lists everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/block_mask.h"

namespace dbsp::gpu_check {

/// Lists of every tile, (batch * heads) x query blocks, as AttentionCall takes them.
struct Lists {
  std::vector<std::int32_t> begin{0};
  std::vector<std::int32_t> list;
  int q_blocks = 0;  ///< of one head

  [[nodiscard]] std::int64_t tiles() const { return static_cast<std::int64_t>(begin.size()) - 1; }
  [[nodiscard]] std::span<const std::int32_t> Tile(std::int64_t tile) const {
    const auto at = static_cast<std::size_t>(tile);
    return {list.data() + begin[at], static_cast<std::size_t>(begin[at + 1] - begin[at])};
  }
};

/// One head's geometry.
struct Blocks {
  int q_tokens = 0;
  int k_tokens = 0;
  int q_block = 128;
  int k_block = 128;  ///< 1 = single keys
  [[nodiscard]] int rows() const { return (q_tokens + q_block - 1) / q_block; }
  [[nodiscard]] int cols() const { return (k_tokens + k_block - 1) / k_block; }
};

/// Every entry listed. requires the lists to hold at most 2^31 - 1 entries, as all below
[[nodiscard]] Lists Full(const Blocks& blocks, int heads);
/// Each entry listed with probability `density`, in aligned runs of `run` entries that are listed
/// together; every head its own draw.
[[nodiscard]] Lists Random(
    const Blocks& blocks, int heads, double density, int run, std::uint64_t seed);
/// The same mask for every head. errors Error{kMismatch} when its size is not that of `blocks`
[[nodiscard]] Lists FromMask(const BlockMask& mask, const Blocks& blocks, int heads);
/// Lists of key blocks of `k_block` tokens that hold any of the listed keys.
[[nodiscard]] Lists BlocksOfKeys(const Lists& keys, int k_block);
/// (query, key) pairs the lists name, tails counted as they are: what work is counted in.
[[nodiscard]] std::int64_t ActivePairs(const Lists& lists, const Blocks& blocks);

/// uint8 [heads][q_blocks][k_blocks], 1 = listed: what PyTorch's block masks are made from.
[[nodiscard]] std::vector<std::uint8_t> DenseMask(const Lists& lists, int k_blocks);

}  // namespace dbsp::gpu_check
