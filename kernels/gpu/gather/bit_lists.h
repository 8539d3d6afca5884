// SPDX-License-Identifier: Apache-2.0
// Kernel bodies that make key lists from bitmasks: count, scan, compact, arrange. The lists equal
// those of kernels/key_lists.h. The launchers are in list_builders.h.
#pragma once

#include "kernels/gpu/gather/list_args.h"
#include "kernels/gpu/gather/piece.h"
#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::gather {

constexpr int kListThreads = 256;
constexpr int kListWarps = kListThreads / 32;
constexpr std::uint32_t kMaxKeys = 0x7FFFFFFF;  ///< largest 32-bit offset

/// Bytes of dynamic shared memory of the kernel bodies below.
constexpr int kCountSharedBytes = kListWarps * 4;
constexpr int kScanSharedBytes = kListThreads * 4;
constexpr int kCompactSharedBytes = 2 * kListWarps * 4;
constexpr int kArrangeSharedBytes = 2 * kListWarps * 4;

DBSP_KERNEL_CODE int PopCount(std::uint32_t word) {
#if defined(__CUDACC__)
  return __popc(word);
#else
  return __builtin_popcount(word);
#endif
}

/// Position of the lowest set bit. requires word != 0
DBSP_KERNEL_CODE int LowestBit(std::uint32_t word) {
#if defined(__CUDACC__)
  return __ffs(static_cast<int>(word)) - 1;
#else
  return __builtin_ctz(word);
#endif
}

/// Sum of `value` over the warp, in every lane.
DBSP_KERNEL_CODE int WarpSum(int value) {
  DBSP_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) value += isa::ShuffleXor(value, mask);
  return value;
}

/// Sums of `value` over the lanes below this one and over all lanes. Every step doubles the size of
/// the groups whose prefixes are known: the upper half adds the sum of the lower half.
struct WarpPrefix {
  int below = 0;
  int all = 0;
};
DBSP_KERNEL_CODE WarpPrefix WarpPrefixOf(int value) {
  const int lane = isa::ThreadIndex() % 32;
  WarpPrefix prefix{0, value};
  DBSP_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) {
    const int other = isa::ShuffleXor(prefix.all, mask);
    if ((lane & mask) != 0) prefix.below += other;
    prefix.all += other;
  }
  return prefix;
}

/// The same sums over the thread block. All threads call it.
/// slot  alternates between 0 and 1 from call to call, so that one synchronisation per call
/// suffices: a
///       thread that is one call ahead writes the other slot, and no thread can be two calls ahead
DBSP_KERNEL_CODE WarpPrefix BlockPrefixOf(int value, int slot) {
  const int warp = isa::ThreadIndex() / 32;
  const WarpPrefix mine = WarpPrefixOf(value);
  const std::uint32_t sums = isa::SharedAddress(isa::SharedBase()) + slot * kListWarps * 4;
  if (isa::ThreadIndex() % 32 == 0) isa::StoreShared<int>(sums + warp * 4, mine.all);
  isa::SyncThreads();
  WarpPrefix block{mine.below, 0};
  DBSP_UNROLL
  for (int w = 0; w < kListWarps; ++w) {
    const int sum = isa::LoadShared<int>(sums + w * 4);
    if (w < warp) block.below += sum;
    block.all += sum;
  }
  return block;
}

/// begin[row + 1] = number of set bits of the row.
/// launch  kListThreads threads, kCountSharedBytes of shared memory, any grid
DBSP_KERNEL_CODE void CountRows(const BitListArgs& args) {
  const std::uint32_t sums = isa::SharedAddress(isa::SharedBase());
  for (int row = isa::BlockIndex(); row < args.rows; row += isa::GridSize()) {
    const std::uint32_t* words = args.words + static_cast<std::int64_t>(row) * args.words_per_row;
    int count = 0;
    for (int w = isa::ThreadIndex(); w < args.words_per_row; w += kListThreads) {
      count += PopCount(isa::LoadGlobal(words + w));
    }
    count = WarpSum(count);
    if (isa::ThreadIndex() % 32 == 0) {
      isa::StoreShared<int>(sums + isa::ThreadIndex() / 32 * 4, count);
    }
    isa::SyncThreads();
    if (isa::ThreadIndex() == 0) {
      int total = 0;
      for (int w = 0; w < kListWarps; ++w) total += isa::LoadShared<int>(sums + w * 4);
      isa::StoreGlobal<std::int32_t>(args.begin + row + 1, total);
    }
    isa::SyncThreads();
  }
}

/// min(a + b, kMaxKeys). Associative for operands up to kMaxKeys.
DBSP_KERNEL_CODE std::uint32_t SaturatingSum(std::uint32_t a, std::uint32_t b) {
  return a + b < kMaxKeys ? a + b : kMaxKeys;
}

/// Replaces the counts in begin[1 ..] by ends of rows and sets begin[0] = 0. A total that does not
/// fit 32 bits becomes 2^31 - 1. launch  one thread block of kListThreads threads, kScanSharedBytes
/// of shared memory; it takes
///         microseconds for tens of thousands of rows
DBSP_KERNEL_CODE void ScanCounts(const BitListArgs& args) {
  const std::uint32_t sums = isa::SharedAddress(isa::SharedBase());
  const int thread = isa::ThreadIndex();
  const int share = (args.rows + kListThreads - 1) / kListThreads;
  const std::int64_t first = static_cast<std::int64_t>(thread) * share;
  const std::int64_t last = first + share < args.rows ? first + share : args.rows;
  std::uint32_t sum = 0;
  for (std::int64_t row = first; row < last; ++row) {
    sum = SaturatingSum(sum, static_cast<std::uint32_t>(args.begin[row + 1]));
  }
  isa::StoreShared<std::uint32_t>(sums + thread * 4, sum);
  isa::SyncThreads();
  std::uint32_t end = 0;
  for (int t = 0; t < thread; ++t) {
    end = SaturatingSum(end, isa::LoadShared<std::uint32_t>(sums + t * 4));
  }
  for (std::int64_t row = first; row < last; ++row) {
    end = SaturatingSum(end, static_cast<std::uint32_t>(args.begin[row + 1]));
    isa::StoreGlobal(args.begin + row + 1, static_cast<std::int32_t>(end));
  }
  if (thread == 0) isa::StoreGlobal<std::int32_t>(args.begin, 0);
}

/// Writes the keys of each row to list[begin[row] ..], ascending. Entries at index `capacity` and
/// above are not written. launch  kListThreads threads, kCompactSharedBytes of shared memory, any
/// grid
DBSP_KERNEL_CODE void CompactRows(const BitListArgs& args) {
  int slot = 0;
  for (int row = isa::BlockIndex(); row < args.rows; row += isa::GridSize()) {
    const std::uint32_t* words = args.words + static_cast<std::int64_t>(row) * args.words_per_row;
    std::int64_t to = isa::LoadGlobal(args.begin + row);
    for (int w0 = 0; w0 < args.words_per_row; w0 += kListThreads) {
      const int w = w0 + isa::ThreadIndex();
      std::uint32_t word = w < args.words_per_row ? isa::LoadGlobal(words + w) : 0;
      const WarpPrefix prefix = BlockPrefixOf(PopCount(word), slot);
      slot ^= 1;
      std::int64_t at = to + prefix.below;
      for (; word != 0; word &= word - 1, ++at) {
        if (at < args.capacity) isa::StoreGlobal(args.list + at, w * 32 + LowestBit(word));
      }
      to += prefix.all;
    }
  }
}

/// First i in [low, high) with keys[i] - i >= value, or high. In an ascending list keys[i] - i does
/// not decrease and is constant within a run of consecutive keys.
DBSP_KERNEL_CODE int FirstAtLeast(const std::int32_t* keys, int low, int high, int value) {
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (isa::LoadGlobal(keys + middle) - middle < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// True when entry i of an ascending list is in one of the full pieces of kPieceKeys keys of its
/// run.
DBSP_KERNEL_CODE bool InWholePiece(const std::int32_t* keys, int count, int i) {
  const int value = isa::LoadGlobal(keys + i) - i;
  const int first = FirstAtLeast(keys, 0, i, value);
  const int last = FirstAtLeast(keys, i + 1, count, value + 1);
  return i - first < (last - first) / kPieceKeys * kPieceKeys;
}

/// ArrangeRuns of kernels/key_lists.h: full pieces of consecutive keys first, then the other keys.
/// launch  kListThreads threads, kArrangeSharedBytes of shared memory, any grid
DBSP_KERNEL_CODE void ArrangeRows(const ArrangeArgs& args) {
  int slot = 0;
  for (int row = isa::BlockIndex(); row < args.rows; row += isa::GridSize()) {
    const std::int32_t base = isa::LoadGlobal(args.begin + row);
    const int count = isa::LoadGlobal(args.begin + row + 1) - base;
    const std::int32_t* keys = args.from + base;
    int pieces = 0;
    for (int i0 = 0; i0 < count; i0 += kListThreads) {
      const int i = i0 + isa::ThreadIndex();
      pieces += BlockPrefixOf(i < count && InWholePiece(keys, count, i) ? 1 : 0, slot).all;
      slot ^= 1;
    }
    int front = 0;
    for (int i0 = 0; i0 < count; i0 += kListThreads) {
      const int i = i0 + isa::ThreadIndex();
      const bool in_piece = i < count && InWholePiece(keys, count, i);
      const WarpPrefix prefix = BlockPrefixOf(in_piece ? 1 : 0, slot);
      slot ^= 1;
      const int before = front + prefix.below;  // number of entries below i that move to the front
      if (i < count) {
        const int at = in_piece ? before : pieces + i - before;
        isa::StoreGlobal(args.to + base + at, isa::LoadGlobal(keys + i));
      }
      front += prefix.all;
    }
  }
}

}  // namespace dbsp::kernels::gpu::gather
