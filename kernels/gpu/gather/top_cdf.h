// SPDX-License-Identifier: Apache-2.0
// Kernel bodies of the top-CDF predictor: the mean of each query block, its scores with every key,
// and the selection of the most probable keys up to tau. It is KeysOfTopCdf of kernels/key_lists.h
// with means rounded to bf16, as in SpargeAttn.
#pragma once

#include "kernels/gpu/gather/bit_lists.h"
#include "kernels/gpu/gather/score_tile.h"
#include "kernels/key_cdf.h"

namespace dbsp::kernels::gpu::gather {

constexpr int kPoolThreads = 128;
constexpr int kPoolSharedBytes = kPoolThreads * 32;  ///< 8 sums per thread

/// pooled = mean of the rows of each query block. A thread adds 8 channels of every
/// kPoolThreads / (D / 8)-th row.
/// launch  kPoolThreads threads, kPoolSharedBytes of shared memory, any grid
template <int D>
DBSP_KERNEL_CODE void PoolQueries(const TopCdfArgs& args) {
  constexpr int kChunks = D / 8;
  constexpr int kGroups = kPoolThreads / kChunks;
  const int chunk = isa::ThreadIndex() % kChunks;
  const int group = isa::ThreadIndex() / kChunks;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  for (int tile = isa::BlockIndex(); tile < args.tiles; tile += isa::GridSize()) {
    const HeadView q = HeadOf(args.q, args.q_tokens, args.heads, tile / args.q_blocks);
    const int first = tile % args.q_blocks * args.q_block;
    const int left = args.q_tokens - first;
    const int rows = left < args.q_block ? left : args.q_block;
    float sum[8] = {};
    for (int row = group; row < rows; row += kGroups) {
      const isa::Vector16 v = isa::LoadGlobal16(q.data + (first + row) * q.row_bytes + chunk * 16);
      const std::uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
      DBSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        sum[2 * i] += isa::Bf16Low(pairs[i]);
        sum[2 * i + 1] += isa::Bf16High(pairs[i]);
      }
    }
    DBSP_UNROLL
    for (int i = 0; i < 8; ++i) {
      isa::StoreShared<float>(shared + (group * D + chunk * 8 + i) * 4, sum[i]);
    }
    isa::SyncThreads();
    if (isa::ThreadIndex() < D / 2) {
      float low = 0.0F;
      float high = 0.0F;
      for (int g = 0; g < kGroups; ++g) {
        low += isa::LoadShared<float>(shared + (g * D + 2 * isa::ThreadIndex()) * 4);
        high += isa::LoadShared<float>(shared + (g * D + 2 * isa::ThreadIndex() + 1) * 4);
      }
      const float inverse = 1.0F / static_cast<float>(rows);
      isa::StoreGlobal(args.pooled + static_cast<std::int64_t>(tile) * (D / 2) + isa::ThreadIndex(),
                       isa::PackBf16(low * inverse, high * inverse));
    }
    isa::SyncThreads();
  }
}

constexpr int kPooledRows = 64;  ///< query blocks whose means one thread block scores together
constexpr int kPooledThreads = kPooledRows * 2;
template <int D>
constexpr int kPooledSharedBytes = (kPooledRows + 2 * kChunkKeys) * D * 2;

/// scores = pooled . k for 64 query blocks of one head at a time.
/// launch  kPooledThreads threads, kPooledSharedBytes of shared memory, any grid
template <int D>
DBSP_KERNEL_CODE void PooledScores(const TopCdfArgs& args) {
  constexpr int kKBytes = kChunkKeys * D * 2;
  const int warp = isa::ThreadIndex() / 32;
  const int lane = isa::ThreadIndex() % 32;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const std::uint32_t k_tiles = shared + kPooledRows * D * 2;
  const int groups = (args.q_blocks + kPooledRows - 1) / kPooledRows;
  const int total = args.tiles / args.q_blocks * groups;
  const int chunks = args.words_per_row / 2;
  for (int at = isa::BlockIndex(); at < total; at += isa::GridSize()) {
    const int batch_head = at / groups;
    const int first = at % groups * kPooledRows;
    const std::int64_t head_tile = static_cast<std::int64_t>(batch_head) * args.q_blocks;
    const HeadView pooled{reinterpret_cast<const std::uint8_t*>(args.pooled) + head_tile * D * 2,
                          D * 2,
                          args.q_blocks};
    const HeadView k = HeadOf(args.k, args.k_tokens, args.heads, batch_head);
    CopyScoreRows<D, kPooledRows, kPooledThreads>(shared, pooled, first);
    CopyScoreRows<D, kChunkKeys, kPooledThreads>(k_tiles, k, 0);
    isa::CopyAsyncCommit();
    std::uint32_t a[D / 16][4];
    for (int c = 0; c < chunks; ++c) {
      isa::CopyAsyncWait<0>();
      isa::SyncThreads();
      if (c == 0) LoadRows<D>(a, shared, warp);
      if (c + 1 < chunks) {
        CopyScoreRows<D, kChunkKeys, kPooledThreads>(
            k_tiles + (c + 1) % 2 * kKBytes, k, (c + 1) * kChunkKeys);
        isa::CopyAsyncCommit();
      }
      float s[kChunkKeys / 8][4];
      ScoreChunk<D>(s, a, k_tiles + c % 2 * kKBytes);
      DBSP_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = first + warp * 16 + lane / 4 + i / 2 * 8;
        if (row >= args.q_blocks) continue;
        float* to = args.scores + (head_tile + row) * args.words_per_row * 32 + c * kChunkKeys +
                    lane % 4 * 2 + i % 2;
        DBSP_UNROLL
        for (int t = 0; t < kChunkKeys / 8; ++t) isa::StoreGlobal(to + 8 * t, s[t][i]);
      }
    }
    isa::SyncThreads();
  }
}

constexpr int kSelectThreads = 128;
constexpr int kSelectWarps = kSelectThreads / 32;
/// Sums of weights by digit and thread, low and high words: [2][kCdfBins][kSelectThreads]. They are
/// followed by the totals of the bins and the cut chosen by the first thread.
constexpr int kSelectBinsBytes = 2 * kCdfBins * kSelectThreads * 4;
constexpr int kSelectSharedBytes = kSelectBinsBytes + 2 * kCdfBins * 4 + 16;

/// Largest score of the row, in every thread.
DBSP_KERNEL_CODE float RowMax(const float* scores, int count, std::uint32_t shared) {
  float max = -INFINITY;
  for (int j = isa::ThreadIndex(); j < count; j += kSelectThreads) {
    max = isa::Max(max, isa::LoadGlobal(scores + j));
  }
  DBSP_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) max = isa::Max(max, isa::ShuffleXor(max, mask));
  if (isa::ThreadIndex() % 32 == 0) {
    isa::StoreShared<float>(shared + isa::ThreadIndex() / 32 * 4, max);
  }
  isa::SyncThreads();
  DBSP_UNROLL
  for (int w = 0; w < kSelectWarps; ++w)
    max = isa::Max(max, isa::LoadShared<float>(shared + w * 4));
  isa::SyncThreads();
  return max;
}

DBSP_KERNEL_CODE std::uint32_t WeightOf(float score, float max, float scale_log2) {
  return CdfWeight(isa::Exp2((score - max) * scale_log2));
}

/// State of the selection between digits, in the first thread.
struct CutState {
  std::uint32_t cut = 0;
  std::uint64_t above = 0;
  std::uint64_t target = 0;
};

/// Adds the weights that match the digits of the cut found so far to this thread's own bins. No
/// other thread adds to them, so the result does not depend on an order.
DBSP_KERNEL_CODE void FillBins(
    const float* scores, int count, float max, float scale_log2, std::uint32_t cut, int digit) {
  const std::uint32_t mine = isa::SharedAddress(isa::SharedBase()) + isa::ThreadIndex() * 4;
  constexpr int kBinBytes = kSelectThreads * 4;
  constexpr int kHighOffset = kCdfBins * kBinBytes;
  for (int bin = 0; bin < 2 * kCdfBins; ++bin) {
    isa::StoreShared<std::uint32_t>(mine + bin * kBinBytes, 0);
  }
  for (int j = isa::ThreadIndex(); j < count; j += kSelectThreads) {
    const std::uint32_t weight = WeightOf(isa::LoadGlobal(scores + j), max, scale_log2);
    if (weight == 0 || !CdfPrefixMatches(weight, cut, digit)) continue;
    const std::uint32_t at = mine + CdfDigit(weight, digit) * kBinBytes;
    const std::uint32_t low = isa::LoadShared<std::uint32_t>(at);
    isa::StoreShared<std::uint32_t>(at, low + weight);
    if (low + weight < low) {
      isa::StoreShared<std::uint32_t>(at + kHighOffset,
                                      isa::LoadShared<std::uint32_t>(at + kHighOffset) + 1);
    }
  }
}

/// Thread b < kCdfBins adds bin b over all threads. It starts at column b, so that the 32 threads
/// read different banks.
DBSP_KERNEL_CODE void ReduceBins(std::uint32_t shared) {
  const int bin = isa::ThreadIndex();
  if (bin >= kCdfBins) return;
  std::uint64_t sum = 0;
  for (int t = 0; t < kSelectThreads; ++t) {
    const std::uint32_t at = shared + (bin * kSelectThreads + (t + bin) % kSelectThreads) * 4;
    sum += isa::LoadShared<std::uint32_t>(at);
    sum += static_cast<std::uint64_t>(
               isa::LoadShared<std::uint32_t>(at + kCdfBins * kSelectThreads * 4))
           << 32U;
  }
  isa::StoreShared<std::uint32_t>(shared + kSelectBinsBytes + bin * 8,
                                  static_cast<std::uint32_t>(sum));
  isa::StoreShared<std::uint32_t>(shared + kSelectBinsBytes + bin * 8 + 4,
                                  static_cast<std::uint32_t>(sum >> 32U));
}

/// The first thread chooses one digit. Every thread returns the cut.
DBSP_KERNEL_CODE std::uint32_t ChooseDigit(CutState& state,
                                           int digit,
                                           float tau,
                                           std::uint32_t shared) {
  const std::uint32_t cut_at = shared + kSelectBinsBytes + kCdfBins * 8;
  if (isa::ThreadIndex() == 0) {
    std::uint64_t sums[kCdfBins];
    std::uint64_t total = 0;
    for (int bin = 0; bin < kCdfBins; ++bin) {
      const std::uint32_t at = shared + kSelectBinsBytes + bin * 8;
      sums[bin] = isa::LoadShared<std::uint32_t>(at) |
                  static_cast<std::uint64_t>(isa::LoadShared<std::uint32_t>(at + 4)) << 32U;
      total += sums[bin];
    }
    if (digit == kCdfDigits - 1) state.target = CdfTarget(total, tau);
    const CdfChoice choice = ChooseCdfDigit(sums, 1, state.above, state.target);
    state.above = choice.above;
    state.cut |= static_cast<std::uint32_t>(choice.digit) << (digit * kCdfDigitBits);
    isa::StoreShared<std::uint32_t>(cut_at, state.cut);
  }
  isa::SyncThreads();
  return isa::LoadShared<std::uint32_t>(cut_at);
}

/// words = the keys of each row by top-CDF.
/// launch  kSelectThreads threads, kSelectSharedBytes of shared memory, any grid
DBSP_KERNEL_CODE void SelectTopCdf(const TopCdfArgs& args) {
  constexpr float kLog2E = 1.44269504088896340736F;
  const std::uint32_t shared = isa::SharedAddress(isa::SharedBase());
  const float scale_log2 = args.scale * kLog2E;
  for (int tile = isa::BlockIndex(); tile < args.tiles; tile += isa::GridSize()) {
    const float* scores = args.scores + static_cast<std::int64_t>(tile) * args.words_per_row * 32;
    const float max = RowMax(scores, args.k_tokens, shared);
    CutState state;
    std::uint32_t cut = 0;
    for (int digit = kCdfDigits - 1; digit >= 0; --digit) {
      FillBins(scores, args.k_tokens, max, scale_log2, cut, digit);
      isa::SyncThreads();
      ReduceBins(shared);
      isa::SyncThreads();
      cut = ChooseDigit(state, digit, args.tau, shared);
    }
    for (int w = isa::ThreadIndex(); w < args.words_per_row; w += kSelectThreads) {
      std::uint32_t word = 0;
      const int left = args.k_tokens - w * 32;
      for (int j = 0; j < 32 && j < left; ++j) {
        const float score = isa::LoadGlobal(scores + w * 32 + j);
        if (WeightOf(score, max, scale_log2) >= cut) word |= 1U << j;
      }
      isa::StoreGlobal(args.words + static_cast<std::int64_t>(tile) * args.words_per_row + w, word);
    }
    isa::SyncThreads();
  }
}

}  // namespace dbsp::kernels::gpu::gather
