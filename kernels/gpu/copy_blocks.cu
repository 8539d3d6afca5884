// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/index.h"
#include "kernels/gpu/launch.h"
#include "kernels/gpu/memory_kernels.h"

namespace dbsp::kernels::gpu {
namespace {

__global__ void CopyItems(const float* __restrict__ from,
                          std::int64_t from_stride,
                          float* __restrict__ to,
                          std::int64_t to_stride,
                          int head_dim,
                          const CopyItem* __restrict__ items,
                          std::int64_t item_count) {
  for (std::int64_t i = blockIdx.x; i < item_count; i += gridDim.x) {
    const CopyItem item = items[i];
    const std::int64_t floats = static_cast<std::int64_t>(item.tokens) * head_dim;
    for (std::int64_t f = threadIdx.x; f < floats; f += blockDim.x) {
      const RowCol at = RowColOf(f, head_dim);
      const CopyOffsets offsets =
          CopyOffsetsOf(item.from, item.to, at.row, at.col, from_stride, to_stride);
      to[offsets.to] = from[offsets.from];
    }
  }
}

}  // namespace

void LaunchCopyBlocks(const float* from,
                      std::int64_t from_stride,
                      float* to,
                      std::int64_t to_stride,
                      int head_dim,
                      const CopyItem* items,
                      std::int64_t item_count,
                      void* stream) {
  if (item_count == 0) return;
  const auto grid = static_cast<unsigned>(item_count < kMaxBlocks ? item_count : kMaxBlocks);
  CopyItems<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      from, from_stride, to, to_stride, head_dim, items, item_count);
  RequireLaunched("CopyItems");
}

}  // namespace dbsp::kernels::gpu
