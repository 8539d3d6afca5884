// SPDX-License-Identifier: Apache-2.0
// Kernel body of FG-Attn's cached threshold: computes QK^T, compares it with the LSE of a dense
// pass, and writes one bit per key. It is KeysAboveThreshold of kernels/key_lists.h on bf16 inputs.
#pragma once

#include "kernels/gpu/gather/score_tile.h"

namespace dbsp::kernels::gpu::gather {

template <int D, int ROWS>
struct ThresholdTile {
  static constexpr int kThreads = ROWS * 2;  ///< a warp per 16 rows
  static constexpr int kWarps = ROWS / 16;
  static constexpr int kQBytes = ROWS * D * 2;
  static constexpr int kKBytes = kChunkKeys * D * 2;
  static constexpr int kVotesOffset = kQBytes + 2 * kKBytes;
  static constexpr int kSharedBytes = kVotesOffset + 2 * kWarps * 8;
};

/// Bits of the chunk's keys that any row of this warp keeps, equal in every lane.
struct ChunkVotes {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
};
DBSP_KERNEL_CODE ChunkVotes VotesOf(const float (&s)[kChunkKeys / 8][4], const float (&cut)[2]) {
  const int shift = isa::ThreadIndex() % 4 * 2;
  ChunkVotes votes;
  DBSP_UNROLL
  for (int t = 0; t < kChunkKeys / 8; ++t) {
    const std::uint32_t pair = (s[t][0] > cut[0] || s[t][2] > cut[1] ? 1U : 0U) |
                               (s[t][1] > cut[0] || s[t][3] > cut[1] ? 2U : 0U);
    const std::uint32_t bits = pair << (t % 4 * 8 + shift);
    if (t < 4) {
      votes.low |= bits;
    } else {
      votes.high |= bits;
    }
  }
  DBSP_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) {
    votes.low |= static_cast<std::uint32_t>(isa::ShuffleXor(static_cast<int>(votes.low), mask));
    votes.high |= static_cast<std::uint32_t>(isa::ShuffleXor(static_cast<int>(votes.high), mask));
  }
  return votes;
}

/// Row `row` keeps keys with raw scores above this value. +infinity for a row past the end and for
/// a row without keys.
DBSP_KERNEL_CODE float CutOf(const ThresholdArgs& args, std::int64_t head_row, int row) {
  if (row >= args.q_tokens) return INFINITY;
  const float lse = isa::LoadGlobal(args.lse + head_row + row);
  return lse == -INFINITY ? INFINITY : (lse + args.log_threshold) * args.inverse_scale;
}

/// Writes the words of query block `tile`. All threads of the thread block call it.
template <int D, int ROWS>
DBSP_KERNEL_CODE void ThresholdOneTile(const ThresholdArgs& args, int tile) {
  using Tile = ThresholdTile<D, ROWS>;
  const int warp = isa::ThreadIndex() / 32;
  const int lane = isa::ThreadIndex() % 32;
  const int batch_head = tile / args.q_blocks;
  const int first_row = tile % args.q_blocks * ROWS;
  const HeadView q = HeadOf(args.q, args.q_tokens, args.heads, batch_head);
  const HeadView k = HeadOf(args.k, args.k_tokens, args.heads, batch_head);
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const std::uint32_t k_tiles = shared + Tile::kQBytes;
  const std::uint32_t votes_at = shared + Tile::kVotesOffset;
  CopyScoreRows<D, ROWS, Tile::kThreads>(shared, q, first_row);
  CopyScoreRows<D, kChunkKeys, Tile::kThreads>(k_tiles, k, 0);
  isa::CopyAsyncCommit();
  const int row = first_row + warp * 16 + lane / 4;
  const std::int64_t head_row = static_cast<std::int64_t>(batch_head) * args.q_tokens;
  const float cut[2] = {CutOf(args, head_row, row), CutOf(args, head_row, row + 8)};
  std::uint32_t a[D / 16][4];
  std::uint32_t* words = args.words + static_cast<std::int64_t>(tile) * args.words_per_row;
  const int chunks = args.words_per_row / 2;
  for (int c = 0; c <= chunks; ++c) {
    // One barrier per chunk: chunk c has landed, and all warps have stored their votes on chunk c
    // - 1.
    isa::CopyAsyncWait<0>();
    isa::SyncThreads();
    if (c == 0) LoadRows<D>(a, shared, warp);
    if (c > 0 && isa::ThreadIndex() < 2) {
      std::uint32_t word = 0;
      for (int w = 0; w < Tile::kWarps; ++w) {
        word |= isa::LoadShared<std::uint32_t>(votes_at + ((c - 1) % 2 * Tile::kWarps + w) * 8 +
                                               isa::ThreadIndex() * 4);
      }
      // Clears the bits of keys past the end: their score is 0, which may exceed the cut.
      const int left = args.k_tokens - (c - 1) * kChunkKeys - isa::ThreadIndex() * 32;
      if (left < 32) word &= left > 0 ? (1U << left) - 1U : 0U;
      isa::StoreGlobal(words + 2 * (c - 1) + isa::ThreadIndex(), word);
    }
    if (c == chunks) break;
    if (c + 1 < chunks) {
      CopyScoreRows<D, kChunkKeys, Tile::kThreads>(
          k_tiles + (c + 1) % 2 * Tile::kKBytes, k, (c + 1) * kChunkKeys);
      isa::CopyAsyncCommit();
    }
    float s[kChunkKeys / 8][4];
    ScoreChunk<D>(s, a, k_tiles + c % 2 * Tile::kKBytes);
    const ChunkVotes votes = VotesOf(s, cut);
    if (lane < 2) {
      isa::StoreShared<std::uint32_t>(votes_at + (c % 2 * Tile::kWarps + warp) * 8 + lane * 4,
                                      lane == 0 ? votes.low : votes.high);
    }
  }
  isa::SyncThreads();
}

/// The kernel.
/// launch  ThresholdTile::kThreads threads, ThresholdTile::kSharedBytes of shared memory, any grid
template <int D, int ROWS>
DBSP_KERNEL_CODE void ThresholdBits(const ThresholdArgs& args) {
  for (int tile = isa::BlockIndex(); tile < args.tiles; tile += isa::GridSize()) {
    ThresholdOneTile<D, ROWS>(args, tile);
  }
}

}  // namespace dbsp::kernels::gpu::gather
