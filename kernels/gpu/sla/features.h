// SPDX-License-Identifier: Apache-2.0
// Feature map phi of rows of Q or K, stored as bf16 in a shared tile.
#pragma once

#include "kernels/gpu/sla/arguments.h"
#include "kernels/gpu/sm80/products.h"

namespace dbsp::kernels::gpu::sla {

constexpr float kLog2E = 1.44269504088896341F;

DBSP_KERNEL_CODE void Unpack(const isa::Vector16& from, float (&x)[8]) {
  const std::uint32_t word[4] = {from.x, from.y, from.z, from.w};
  DBSP_UNROLL
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = isa::Bf16Low(word[i]);
    x[2 * i + 1] = isa::Bf16High(word[i]);
  }
}
DBSP_KERNEL_CODE isa::Vector16 Pack(const float (&x)[8]) {
  isa::Vector16 to;
  to.x = isa::PackBf16(x[0], x[1]);
  to.y = isa::PackBf16(x[2], x[3]);
  to.z = isa::PackBf16(x[4], x[5]);
  to.w = isa::PackBf16(x[6], x[7]);
  return to;
}

/// Sum over the kLanes neighbouring lanes that share a row.
template <int kLanes>
DBSP_KERNEL_CODE float SumOverRow(float value) {
  DBSP_UNROLL
  for (int mask = 1; mask < kLanes; mask *= 2) value += isa::ShuffleXor(value, mask);
  return value;
}

/// Applies phi in place. kHeadDim / 8 neighbouring lanes hold a row, eight channels each. The whole
/// warp calls it.
template <int kHeadDim>
DBSP_KERNEL_CODE void MapFeatures(float (&x)[8], FeatureMap map) {
  if (map == FeatureMap::kSoftmax) {
    float max = x[0];
    DBSP_UNROLL
    for (int i = 1; i < 8; ++i) max = isa::Max(max, x[i]);
    DBSP_UNROLL
    for (int mask = 1; mask < kHeadDim / 8; mask *= 2) {
      max = isa::Max(max, isa::ShuffleXor(max, mask));
    }
    float sum = 0.0F;
    DBSP_UNROLL
    for (int i = 0; i < 8; ++i) {
      x[i] = isa::Exp2((x[i] - max) * kLog2E);
      sum += x[i];
    }
    const float scale = 1.0F / SumOverRow<kHeadDim / 8>(sum);
    DBSP_UNROLL
    for (int i = 0; i < 8; ++i) x[i] *= scale;
    return;
  }
  DBSP_UNROLL
  for (int i = 0; i < 8; ++i) {
    const float positive = isa::Max(x[i], 0.0F);
    const float elu = x[i] > 0.0F ? x[i] + 1.0F : isa::Exp2(x[i] * kLog2E);
    x[i] = map == FeatureMap::kElu ? elu : positive;
  }
}

/// Stores phi of kRows rows in a tile of kRows rows. Rows from `valid` on become 0.
/// src     address of the first row
/// visit   called with (row, chunk, the eight rounded values) by the thread that holds them; all
/// lanes
///         of a warp call it together
/// requires  kThreads is a multiple of head_dim / 8, and kRows a multiple of kThreads / (head_dim /
/// 8)
template <int kHeadDim, int kRows, int kThreads, class Visit>
DBSP_KERNEL_CODE void StoreFeatures(std::uint32_t tile,
                                    const std::uint8_t* src,
                                    std::int64_t row_bytes,
                                    int valid,
                                    FeatureMap map,
                                    Visit visit) {
  constexpr int kLanes = kHeadDim / 8;
  const int chunk = isa::ThreadIndex() % kLanes;
  for (int row = isa::ThreadIndex() / kLanes; row < kRows; row += kThreads / kLanes) {
    const bool inside = row < valid;
    isa::Vector16 value = {};
    if (inside) value = isa::LoadGlobal16(src + row * row_bytes + chunk * sm80::kChunkBytes);
    float x[8];
    Unpack(value, x);
    MapFeatures<kHeadDim>(x, map);
    value = inside ? Pack(x) : isa::Vector16{};
    isa::StoreShared(tile + sm80::TileOffset(kRows, row, chunk), value);
    Unpack(value, x);
    visit(row, chunk, x);
  }
}

/// Starts the copy of kRows rows of kHeadDim channels from `src` to a tile of kRows rows. Rows from
/// `valid` on become 0.
template <int kHeadDim, int kRows, int kThreads>
DBSP_KERNEL_CODE void CopyTile(std::uint32_t tile,
                               const std::uint8_t* src,
                               std::int64_t row_bytes,
                               int valid) {
  constexpr int kLanes = kHeadDim / 8;
  const int chunk = isa::ThreadIndex() % kLanes;
  for (int row = isa::ThreadIndex() / kLanes; row < kRows; row += kThreads / kLanes) {
    const bool inside = row < valid;
    isa::CopyAsync16(tile + sm80::TileOffset(kRows, row, chunk),
                     inside ? src + row * row_bytes + chunk * sm80::kChunkBytes : src,
                     inside ? sm80::kChunkBytes : 0);
  }
}

/// Calls put(row, chunk, value) for every 16-byte piece of the warp's 32 rows of a shared bf16
/// tile.
template <int kHeadDim, class Put>
DBSP_KERNEL_CODE void ForRowsOfWarp(std::uint32_t warp_tile, int tile_rows, Put put) {
  constexpr int kLanes = kHeadDim / 8;
  const int lane = isa::ThreadIndex() % sm80::kWarp;
  const int chunk = lane % kLanes;
  for (int row = lane / kLanes; row < sm80::kWarpRows; row += sm80::kWarp / kLanes) {
    put(row,
        chunk,
        isa::LoadShared<isa::Vector16>(warp_tile + sm80::TileOffset(tile_rows, row, chunk)));
  }
}

}  // namespace dbsp::kernels::gpu::sla
