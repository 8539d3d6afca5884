// SPDX-License-Identifier: Apache-2.0
// Rows and channels of each thread of the memory kernels. A thread block has 256 threads; head_dim
// / 8 threads share a row. Each thread has kRowsInFlight rows, RowsPerPass rows apart. The
// functions are plain C++, so that CPU tests can enumerate all threads.
#pragma once

#include <cstdint>

#include "kernels/gpu/isa/types.h"

namespace dbsp::kernels::gpu {

constexpr int kMemoryThreads = 256;
/// Rows per thread whose loads are in flight together. With 64 bytes per thread and 2048 threads
/// per SM that is 128 KiB. A latency of 1 us at 4.8 TB/s over 132 SMs needs 36 KiB.
constexpr int kRowsInFlight = 4;

DBSP_KERNEL_CODE constexpr int ThreadsPerRow(int head_dim) { return head_dim / 8; }
DBSP_KERNEL_CODE constexpr int RowsPerPass(int head_dim) {
  return kMemoryThreads / ThreadsPerRow(head_dim);
}
DBSP_KERNEL_CODE constexpr int RowsPerBlock(int head_dim) {
  return RowsPerPass(head_dim) * kRowsInFlight;
}

/// Thread blocks per unit (a head or a copy item) of `rows` rows.
constexpr std::int64_t BlocksPerUnit(std::int64_t rows, int head_dim) {
  const int per_block = kMemoryThreads / (head_dim / 8) * kRowsInFlight;
  return (rows + per_block - 1) / per_block;
}

/// The work of a thread: its first row within the unit, and the part of the row that it handles.
struct ThreadShare {
  int row = 0;
  int share = 0;  ///< 0 .. ThreadsPerRow - 1
};
DBSP_KERNEL_CODE constexpr ThreadShare ShareOfThread(int block_of_unit, int thread, int head_dim) {
  return {block_of_unit * RowsPerBlock(head_dim) + thread / ThreadsPerRow(head_dim),
          thread % ThreadsPerRow(head_dim)};
}

/// First of the four channels that a thread handles in half `half` of a row. Four fp32 channels are
/// 16 bytes, so that a warp accesses whole cache lines of the accumulator and of bf16 parts.
DBSP_KERNEL_CODE constexpr int QuadChannel(int head_dim, int share, int half) {
  return half * (head_dim / 2) + share * 4;
}

}  // namespace dbsp::kernels::gpu
