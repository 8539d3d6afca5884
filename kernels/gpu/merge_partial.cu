// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/index.h"
#include "kernels/gpu/launch.h"
#include "kernels/gpu/memory_kernels.h"
#include "kernels/merge_weights.h"

namespace dbsp::kernels::gpu {
namespace {

constexpr int kWarp = 32;

/// A warp per row: its lanes read the two LSEs before lane 0 writes the new one.
__global__ void MergeRows(std::int64_t rows,
                          int head_dim,
                          float* __restrict__ o,
                          float* __restrict__ lse,
                          const float* __restrict__ part_o,
                          const float* __restrict__ part_lse) {
  const RowCol me =
      RowColOf(static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, kWarp);
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * blockDim.x / kWarp;
  for (std::int64_t row = me.row; row < rows; row += warps) {
    const float own = lse[row];
    const float other = part_lse[row];
    const MergeWeights weights = WeightsOf(own, other);
    __syncwarp();
    if (me.col == 0) lse[row] = weights.lse;
    float* to = o + row * head_dim;
    const float* from = part_o + row * head_dim;
    for (int c = me.col; c < head_dim; c += kWarp) {
      // A weight of 0 also hides what the memory of a row without keys held.
      const float kept = weights.kept > 0.0F ? to[c] * weights.kept : 0.0F;
      const float added = weights.added > 0.0F ? from[c] * weights.added : 0.0F;
      to[c] = kept + added;
    }
  }
}

}  // namespace

void LaunchMergePartial(std::int64_t rows,
                        int head_dim,
                        float* o,
                        float* lse,
                        const float* part_o,
                        const float* part_lse,
                        void* stream) {
  if (rows == 0) return;
  const auto grid = static_cast<unsigned>(GridFor(rows * kWarp));
  MergeRows<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      rows, head_dim, o, lse, part_o, part_lse);
  RequireLaunched("MergeRows");
}

}  // namespace dbsp::kernels::gpu
