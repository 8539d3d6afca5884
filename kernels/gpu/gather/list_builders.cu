// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/gather/bit_lists.h"
#include "kernels/gpu/gather/threshold_bits.h"
#include "kernels/gpu/gather/top_cdf.h"
#include "kernels/gpu/launch.h"

namespace dbsp::kernels::gpu::gather {
namespace {

__global__ void __launch_bounds__(kListThreads) CountRowsKernel(const BitListArgs args) {
  CountRows(args);
}
__global__ void __launch_bounds__(kListThreads) ScanCountsKernel(const BitListArgs args) {
  ScanCounts(args);
}
__global__ void __launch_bounds__(kListThreads) CompactRowsKernel(const BitListArgs args) {
  CompactRows(args);
}
__global__ void __launch_bounds__(kListThreads) ArrangeRowsKernel(const ArrangeArgs args) {
  ArrangeRows(args);
}
template <int D, int ROWS>
__global__ void __launch_bounds__(ThresholdTile<D, ROWS>::kThreads, 1)
    ThresholdBitsKernel(const ThresholdArgs args) {
  ThresholdBits<D, ROWS>(args);
}
template <int D>
__global__ void __launch_bounds__(kPoolThreads) PoolQueriesKernel(const TopCdfArgs args) {
  PoolQueries<D>(args);
}
template <int D>
__global__ void __launch_bounds__(kPooledThreads, 1) PooledScoresKernel(const TopCdfArgs args) {
  PooledScores<D>(args);
}
__global__ void __launch_bounds__(kSelectThreads, 1) SelectTopCdfKernel(const TopCdfArgs args) {
  SelectTopCdf(args);
}

/// One thread block per row up to kMaxBlocks; the kernel bodies stride over the remaining rows.
constexpr int kMaxBlocks = 65535;
unsigned RowGrid(int rows) { return static_cast<unsigned>(rows < kMaxBlocks ? rows : kMaxBlocks); }

/// Sets the kernel's shared memory and launches it.
template <typename Args>
void Launch(const char* name,
            void (*kernel)(Args),
            int grid,
            int threads,
            int shared_bytes,
            const Args& args,
            void* stream) {
  UseSharedMemory(name, kernel, shared_bytes);
  kernel<<<RowGrid(grid), threads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args);
  RequireLaunched(name);
}

template <int D, int ROWS>
void EnqueueThreshold(const ThresholdArgs& args, void* stream) {
  using Tile = ThresholdTile<D, ROWS>;
  Launch("ThresholdBits",
         &ThresholdBitsKernel<D, ROWS>,
         args.tiles,
         Tile::kThreads,
         Tile::kSharedBytes,
         args,
         stream);
}

template <int D>
void EnqueueTopCdf(const TopCdfArgs& args, void* stream) {
  const int groups = (args.q_blocks + kPooledRows - 1) / kPooledRows;
  Launch("PoolQueries",
         &PoolQueriesKernel<D>,
         args.tiles,
         kPoolThreads,
         kPoolSharedBytes,
         args,
         stream);
  Launch("PooledScores",
         &PooledScoresKernel<D>,
         args.tiles / args.q_blocks * groups,
         kPooledThreads,
         kPooledSharedBytes<D>,
         args,
         stream);
  Launch("SelectTopCdf",
         &SelectTopCdfKernel,
         args.tiles,
         kSelectThreads,
         kSelectSharedBytes,
         args,
         stream);
}

}  // namespace

void EnqueueKeyLists(const BitListArgs& args, void* stream) {
  Launch("CountRows", &CountRowsKernel, args.rows, kListThreads, kCountSharedBytes, args, stream);
  Launch("ScanCounts", &ScanCountsKernel, 1, kListThreads, kScanSharedBytes, args, stream);
  Launch("CompactRows",
         &CompactRowsKernel,
         args.rows,
         kListThreads,
         kCompactSharedBytes,
         args,
         stream);
}

void EnqueueArrangeRuns(const ArrangeArgs& args, void* stream) {
  Launch("ArrangeRuns",
         &ArrangeRowsKernel,
         args.rows,
         kListThreads,
         kArrangeSharedBytes,
         args,
         stream);
}

void EnqueueThresholdBits(const ThresholdArgs& args, int head_dim, void* stream) {
  if (head_dim == 64 && args.q_block == 64) return EnqueueThreshold<64, 64>(args, stream);
  if (head_dim == 64) return EnqueueThreshold<64, 128>(args, stream);
  if (args.q_block == 64) return EnqueueThreshold<128, 64>(args, stream);
  EnqueueThreshold<128, 128>(args, stream);
}

void EnqueueTopCdfBits(const TopCdfArgs& args, int head_dim, void* stream) {
  if (head_dim == 64) return EnqueueTopCdf<64>(args, stream);
  EnqueueTopCdf<128>(args, stream);
}

}  // namespace dbsp::kernels::gpu::gather
