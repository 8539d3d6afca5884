// SPDX-License-Identifier: Apache-2.0
// The three kernels of SLA's linear part, with mma.m16n8k16 and the tiles of sm80/.
#pragma once

#include "kernels/gpu/sla/features.h"

namespace dbsp::kernels::gpu::sla {

using sm80::kStepKeys;
using sm80::kTiles16;
using sm80::kWarp;
using sm80::kWarpRows;

constexpr int TileBytes(int rows, int head_dim) { return rows * head_dim * 2; }

// --- states: h = phi(K)^T V and z = sum phi(K) of one key block ---

/// A warp computes 32 rows of h, so a thread block has as many threads as h has rows.
template <int kHeadDim>
struct StateLayout {
  static constexpr int kThreads = kHeadDim;
  static constexpr int kPhi = 0;  ///< 64 keys of phi(K)
  static constexpr int kV = TileBytes(kStepKeys, kHeadDim);
  /// The result overwrites the two tiles.
  static_assert(kHeadDim <= 2 * kStepKeys);
  static constexpr int kSharedBytes = TileBytes(2 * kStepKeys, kHeadDim);
};

/// Adds z of the 64 keys in the tile to `z`, in the thread of each pair of channels. Like h, it
/// uses the rounded values.
template <int kHeadDim>
DBSP_KERNEL_CODE void AddKeySums(std::uint32_t phi, float (&z)[2]) {
  const int pair = isa::ThreadIndex();
  if (pair >= kHeadDim / 2) return;
  for (int row = 0; row < kStepKeys; ++row) {
    const auto two = isa::LoadShared<std::uint32_t>(
        phi + sm80::TileOffset(kStepKeys, row, pair / 4) + pair % 4 * 4);
    z[0] += isa::Bf16Low(two);
    z[1] += isa::Bf16High(two);
  }
}

/// launch  one thread block per (pass, key block), StateLayout
template <int kHeadDim, int kKBlock>
DBSP_KERNEL_CODE void StateKernel(const Arguments& args) {
  using L = StateLayout<kHeadDim>;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const int lane = isa::ThreadIndex() % kWarp;
  const int warp = isa::ThreadIndex() / kWarp;
  const int pass = isa::BlockIndex() / args.k_blocks;
  const int block = isa::BlockIndex() % args.k_blocks;
  const TilePosition at{pass / args.heads, pass % args.heads, 0};
  float h[kTiles16][kHeadDim / 8][4];
  sm80::SetZero(h);
  float z[2] = {0.0F, 0.0F};
  for (int first = block * kKBlock; first < (block + 1) * kKBlock; first += kStepKeys) {
    const int valid = args.k_tokens - first;
    if (valid <= 0) break;
    isa::SyncThreads();  // no thread reads the previous keys any more
    CopyTile<kHeadDim, kStepKeys, L::kThreads>(
        shared + L::kV, RowOf(args.v, at, first), args.v.token_bytes, valid);
    isa::CopyAsyncCommit();
    StoreFeatures<kHeadDim, kStepKeys, L::kThreads>(shared + L::kPhi,
                                                    RowOf(args.k, at, first),
                                                    args.k.token_bytes,
                                                    valid,
                                                    args.features,
                                                    [](int, int, const float(&)[8]) {});
    isa::CopyAsyncWait<0>();
    isa::SyncThreads();
    AddKeySums<kHeadDim>(shared + L::kPhi, z);
    DBSP_UNROLL
    for (int kk = 0; kk < kStepKeys / 16; ++kk) {
      const std::uint32_t keys = kk * 16 * isa::kPanelBytes;
      std::uint32_t a[1][kTiles16][4];
      DBSP_UNROLL
      for (int m = 0; m < kTiles16; ++m) {
        isa::LoadMatrix4Trans(
            a[0][m],
            sm80::ColumnStep(shared + L::kPhi + sm80::LaneOffsetColumnsFirst(lane),
                             kStepKeys,
                             warp * kTiles16 + m) +
                keys);
      }
      sm80::Multiply(h, a, shared + L::kV + sm80::LaneOffsetRowsFirst(lane) + keys, kStepKeys);
    }
  }
  std::uint8_t* state =
      args.states + (std::int64_t{pass} * args.k_blocks + block) * StateBytes(kHeadDim);
  if (isa::ThreadIndex() < kHeadDim / 2) {
    isa::StoreGlobal(
        reinterpret_cast<std::uint32_t*>(state + kHeadDim * kHeadDim * 2) + isa::ThreadIndex(),
        isa::PackBf16(z[0], z[1]));
  }
  isa::SyncThreads();  // the result overwrites phi(K) and V
  const std::uint32_t own = shared + warp * kWarpRows * isa::kPanelBytes;
  sm80::StoreTile(own, kHeadDim, lane, h);
  isa::SyncWarp();
  ForRowsOfWarp<kHeadDim>(own, kHeadDim, [&](int row, int chunk, const isa::Vector16& value) {
    isa::StoreGlobal16(state + (warp * kWarpRows + row) * kHeadDim * 2 + chunk * 16, value);
  });
}

// --- sums: row r of every query block's H (or Z), as mask bits times states ---

template <int kHeadDim>
struct SumLayout {
  static constexpr int kThreads = kSumRows;
  static constexpr int kSlotBytes = TileBytes(64, kHeadDim);
  static constexpr int kSharedBytes =
      TileBytes(kSumRows, kHeadDim);  ///< two slots, then the result
};

/// Bits first and first + 1 of a mask as a pair of bf16, 1 or 0 each.
DBSP_KERNEL_CODE constexpr std::uint32_t OnesOf(std::uint64_t bits, int first) {
  const auto two = static_cast<std::uint32_t>(bits >> static_cast<unsigned>(first)) & 3U;
  return (two & 1U) * 0x3F80U | (two >> 1U) * 0x3F800000U;
}

/// Word `word` of the four mask rows of a lane (sm80/softmax.h: four rows of the warp).
DBSP_KERNEL_CODE void LoadMask(
    const Arguments& args, int pass, int first_row, int word, std::uint64_t (&bits)[4]) {
  const int lane = isa::ThreadIndex() % kWarp;
  DBSP_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int row = first_row + r / 2 * 16 + sm80::AccumulatorRow(lane, 2 * (r % 2));
    bits[r] = 0;
    if (row < args.q_blocks) {
      bits[r] = isa::LoadGlobal(args.marginal +
                                (std::int64_t{pass} * args.q_blocks + row) * args.words + word);
    }
  }
}

/// The mask bits as A operand: value i of a lane is row half i % 2 and columns 8 (i / 2) + its
/// pair.
DBSP_KERNEL_CODE void MaskFragments(const std::uint64_t (&bits)[4],
                                    std::uint32_t (&a)[4][kTiles16][4]) {
  const int column = sm80::AccumulatorColumn(isa::ThreadIndex() % kWarp, 0);
  DBSP_UNROLL
  for (int kk = 0; kk < 4; ++kk) {
    DBSP_UNROLL
    for (int m = 0; m < kTiles16; ++m) {
      DBSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[kk][m][i] = OnesOf(bits[2 * m + i % 2], 16 * kk + 8 * (i / 2) + column);
      }
    }
  }
}

/// launch  one thread block per (pass, state row, 128 query blocks), SumLayout. Query blocks vary
///         fastest, so that thread blocks that read the same states run together
template <int kHeadDim>
DBSP_KERNEL_CODE void SumKernel(const Arguments& args) {
  using L = SumLayout<kHeadDim>;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const int lane = isa::ThreadIndex() % kWarp;
  const int groups = (args.q_blocks - 1) / kSumRows + 1;
  const int warp_row = isa::ThreadIndex() / kWarp * kWarpRows;
  const int first_row = isa::BlockIndex() % groups * kSumRows + warp_row;
  const int state_row = isa::BlockIndex() / groups % (kHeadDim + 1);
  const int pass = isa::BlockIndex() / groups / (kHeadDim + 1);
  constexpr std::int64_t kBytes = StateBytes(kHeadDim);
  const std::uint8_t* states =
      args.states + std::int64_t{pass} * args.k_blocks * kBytes + state_row * kHeadDim * 2;
  const auto copy = [&](int word) {
    CopyTile<kHeadDim, 64, L::kThreads>(shared + word % 2 * L::kSlotBytes,
                                        states + std::int64_t{word} * 64 * kBytes,
                                        kBytes,
                                        args.k_blocks - word * 64);
    isa::CopyAsyncCommit();
  };
  float sum[kTiles16][kHeadDim / 8][4];
  sm80::SetZero(sum);
  copy(0);
  for (int word = 0; word < args.words; ++word) {
    std::uint64_t bits[4];
    LoadMask(args, pass, first_row, word, bits);
    isa::CopyAsyncWait<0>();
    isa::SyncThreads();  // all states have arrived, and the previous slot is free
    if (word + 1 < args.words) copy(word + 1);
    std::uint32_t a[4][kTiles16][4];
    MaskFragments(bits, a);
    sm80::Multiply(sum, a, shared + word % 2 * L::kSlotBytes + sm80::LaneOffsetRowsFirst(lane), 64);
  }
  isa::SyncThreads();  // the result overwrites the slots
  const std::uint32_t own = shared + warp_row * isa::kPanelBytes;
  sm80::StoreTile(own, kSumRows, lane, sum);
  isa::SyncWarp();
  ForRowsOfWarp<kHeadDim>(own, kSumRows, [&](int row, int chunk, const isa::Vector16& value) {
    if (first_row + row >= args.q_blocks) return;
    isa::StoreGlobal16(args.sums + (std::int64_t{pass} * args.q_blocks + first_row + row) * kBytes +
                           state_row * kHeadDim * 2 + chunk * 16,
                       value);
  });
}

// --- combine: O += (phi(Q) H / (phi(Q) Z)) P of one query block ---

template <int kHeadDim, int kRows>
struct CombineLayout {
  static constexpr int kThreads = kRows;
  static constexpr int kPhi = 0;
  static constexpr int kH = TileBytes(kRows, kHeadDim);
  static constexpr int kP = kH + TileBytes(kHeadDim, kHeadDim);
  static constexpr int kInverse = kP + TileBytes(kHeadDim, kHeadDim);  ///< 1 / (phi(q) Z) of a row
  static constexpr int kSharedBytes = kInverse + kRows * 4;
};

/// Stores phi(Q) in its tile and 1 / (phi(q) Z) of each row, 0 where phi(q) Z is 0.
template <int kHeadDim, int kRows>
DBSP_KERNEL_CODE void PrepareRows(const Arguments& args,
                                  const TilePosition& at,
                                  const std::uint8_t* z,
                                  std::uint32_t shared) {
  using L = CombineLayout<kHeadDim, kRows>;
  constexpr int kLanes = kHeadDim / 8;
  float share[8];
  Unpack(isa::LoadGlobal16(z + isa::ThreadIndex() % kLanes * 16), share);
  StoreFeatures<kHeadDim, kRows, L::kThreads>(
      shared + L::kPhi,
      RowOf(args.q, at, at.row),
      args.q.token_bytes,
      args.q_tokens - at.row,
      args.features,
      [&](int row, int chunk, const float(&phi)[8]) {
        float divisor = 0.0F;
        DBSP_UNROLL
        for (int i = 0; i < 8; ++i) divisor = isa::FusedMultiplyAdd(phi[i], share[i], divisor);
        divisor = SumOverRow<kLanes>(divisor);
        if (chunk == 0) {
          isa::StoreShared(shared + L::kInverse + row * 4, divisor > 0.0F ? 1.0F / divisor : 0.0F);
        }
      });
}

/// launch  one thread block per (pass, query block), CombineLayout
template <int kHeadDim, int kRows>
DBSP_KERNEL_CODE void CombineKernel(const Arguments& args) {
  using L = CombineLayout<kHeadDim, kRows>;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const int lane = isa::ThreadIndex() % kWarp;
  const int warp_row = isa::ThreadIndex() / kWarp * kWarpRows;
  const int pass = isa::BlockIndex() / args.q_blocks;
  const TilePosition at{
      pass / args.heads, pass % args.heads, isa::BlockIndex() % args.q_blocks * kRows};
  const std::uint8_t* sum = args.sums + std::int64_t{isa::BlockIndex()} * StateBytes(kHeadDim);
  CopyTile<kHeadDim, kHeadDim, L::kThreads>(shared + L::kH, sum, kHeadDim * 2, kHeadDim);
  CopyTile<kHeadDim, kHeadDim, L::kThreads>(
      shared + L::kP, args.projection, kHeadDim * 2, kHeadDim);
  isa::CopyAsyncCommit();
  PrepareRows<kHeadDim, kRows>(args, at, sum + kHeadDim * kHeadDim * 2, shared);
  isa::CopyAsyncWait<0>();
  isa::SyncThreads();

  const std::uint32_t own = shared + L::kPhi + warp_row * isa::kPanelBytes;
  float linear[kTiles16][kHeadDim / 8][4];
  sm80::SetZero(linear);
  DBSP_UNROLL
  for (int kk = 0; kk < kHeadDim / 16; ++kk) {
    std::uint32_t phi[1][kTiles16][4];
    DBSP_UNROLL
    for (int m = 0; m < kTiles16; ++m) {
      isa::LoadMatrix4(phi[0][m],
                       sm80::ColumnStep(own + sm80::LaneOffsetRowsFirst(lane), kRows, kk) +
                           m * 16 * isa::kPanelBytes);
    }
    sm80::Multiply(linear,
                   phi,
                   shared + L::kH + sm80::LaneOffsetRowsFirst(lane) + kk * 16 * isa::kPanelBytes,
                   kHeadDim);
  }
  DBSP_UNROLL
  for (int r = 0; r < 4; ++r) {
    const int row = warp_row + r / 2 * 16 + sm80::AccumulatorRow(lane, 2 * (r % 2));
    const auto inverse = isa::LoadShared<float>(shared + L::kInverse + row * 4);
    DBSP_UNROLL
    for (int n = 0; n < kHeadDim / 8; ++n) {
      linear[r / 2][n][2 * (r % 2)] *= inverse;
      linear[r / 2][n][2 * (r % 2) + 1] *= inverse;
    }
  }
  std::uint32_t a[kHeadDim / 16][kTiles16][4];
  sm80::ToFragments(a, linear);
  isa::SyncWarp();  // all lanes have read the warp's rows of phi(Q)
  DBSP_UNROLL
  for (int panel = 0; panel < kHeadDim / 64; ++panel) {
    float added[kTiles16][64 / 8][4];
    sm80::SetZero(added);
    sm80::Multiply(
        added,
        a,
        shared + L::kP + panel * kHeadDim * isa::kPanelBytes + sm80::LaneOffsetRowsFirst(lane),
        kHeadDim);
    sm80::StoreTile(own + panel * kRows * isa::kPanelBytes, kRows, lane, added);
  }
  isa::SyncWarp();
  ForRowsOfWarp<kHeadDim>(own, kRows, [&](int row, int chunk, const isa::Vector16& value) {
    const int q_row = at.row + warp_row + row;
    if (q_row >= args.q_tokens) return;
    auto* const o = reinterpret_cast<isa::Vector16*>(RowOf(args.o, at, q_row) + chunk * 16);
    float added[8];
    float total[8];
    Unpack(value, added);
    Unpack(*o, total);
    for (int i = 0; i < 8; ++i) total[i] += added[i];
    isa::StoreGlobal16(o, Pack(total));
  });
}

}  // namespace dbsp::kernels::gpu::sla
