// SPDX-License-Identifier: Apache-2.0
// Which rows and channels a thread of the memory kernels works on. A thread block is 256 threads;
// head_dim / 8 of them share a row, each has kRowsInFlight rows, one below the other by the rows of
// a pass. Plain functions, so that the CPU's tests walk every thread.
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/types.h"

namespace dbsp::kernels::gpu {

constexpr int kMemoryThreads = 256;
/// 64 bytes of a copy in flight per thread and 2048 threads of an SM: 128 KiB, where a latency of
/// 1 us at 4.8 TB/s over 132 SMs asks for 36 KiB.
constexpr int kRowsInFlight = 4;

DBSP_KERNEL_CODE constexpr int ThreadsPerRow(int head_dim) { return head_dim / 8; }
DBSP_KERNEL_CODE constexpr int RowsPerPass(int head_dim) {
  return kMemoryThreads / ThreadsPerRow(head_dim);
}
DBSP_KERNEL_CODE constexpr int RowsPerBlock(int head_dim) {
  return RowsPerPass(head_dim) * kRowsInFlight;
}

/// Thread blocks for `rows` rows of each of some units (heads, items).
constexpr std::int64_t BlocksPerUnit(std::int64_t rows, int head_dim) {
  const int per_block = kMemoryThreads / (head_dim / 8) * kRowsInFlight;
  return (rows + per_block - 1) / per_block;
}

/// A thread's first row within its unit, and its share of the row.
struct ThreadPlace {
  int row = 0;
  int share = 0;  ///< 0 .. ThreadsPerRow - 1
};
DBSP_KERNEL_CODE constexpr ThreadPlace PlaceOfThread(int block_of_unit, int thread, int head_dim) {
  return {block_of_unit * RowsPerBlock(head_dim) + thread / ThreadsPerRow(head_dim),
          thread % ThreadsPerRow(head_dim)};
}

/// First channel of a thread's four in each half of a row. Of fp32 rows four channels are 16 bytes,
/// so that a warp reads and writes whole lines of the accumulator and of bf16 parts alike.
DBSP_KERNEL_CODE constexpr int QuadChannel(int head_dim, int share, int half) {
  return half * (head_dim / 2) + share * 4;
}

}  // namespace dbsp::kernels::gpu
