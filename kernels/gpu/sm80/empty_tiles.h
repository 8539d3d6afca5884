// SPDX-License-Identifier: Apache-2.0
// Writes O = 0 and LSE = -infinity for tiles without keys, which are not in the order. A persistent
// kernel calls it after its last tile, while other thread blocks still compute.
#pragma once

#include <cmath>

#include "kernels/gpu/isa/isa.h"
#include "kernels/gpu/sm80/arguments.h"

namespace dbsp::kernels::gpu::sm80 {

template <int kRows, int kHeadDim>
DBSP_KERNEL_CODE void ClearTile(const Arguments& p, int tile, int lane) {
  const TilePosition at = PositionOf(p, tile, kRows);
  const int rows = p.q_tokens - at.row < kRows ? p.q_tokens - at.row : kRows;
  constexpr int kChunks = kHeadDim / 8;
  for (int i = lane; i < rows * kChunks; i += 32) {
    isa::StoreGlobal16(RowOf(p.o, at, at.row + i / kChunks) + i % kChunks * 16, isa::Vector16{});
  }
  for (int i = lane; i < rows; i += 32) isa::StoreGlobal(LseOf(p, at, at.row + i), -INFINITY);
}

/// Every warp of the grid checks 32 tiles at a time, one per lane.
/// threads  threads of a thread block, a multiple of 32; all of them call
template <int kRows, int kHeadDim>
DBSP_KERNEL_CODE void FillEmptyTiles(const Arguments& p, int threads) {
  const int lane = isa::ThreadIndex() % 32;
  const int warp = (isa::BlockIndex() * threads + isa::ThreadIndex()) / 32;
  const int warps = isa::GridSize() * threads / 32;
  for (int first = warp * 32; first < p.tiles; first += warps * 32) {
    const int tile = first + lane;
    const bool empty =
        tile < p.tiles && isa::LoadGlobal(p.begin + tile) == isa::LoadGlobal(p.begin + tile + 1);
    int flags = empty ? static_cast<int>(1U << static_cast<unsigned>(lane)) : 0;
    for (int mask = 1; mask < 32; mask *= 2) flags |= isa::ShuffleXor(flags, mask);
    for (int i = 0; i < 32; ++i) {
      if ((static_cast<unsigned>(flags) >> static_cast<unsigned>(i) & 1U) != 0) {
        ClearTile<kRows, kHeadDim>(p, first + i, lane);
      }
    }
  }
}

}  // namespace dbsp::kernels::gpu::sm80
