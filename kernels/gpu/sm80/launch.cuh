// SPDX-License-Identifier: Apache-2.0
// Entry and launcher of a portable block-sparse kernel; included by the .cu files that instantiate
// them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/gpu/launch.h"
#include "kernels/gpu/sm80/block_sparse.h"
#include "kernels/gpu/sm80/prepare.h"
#include "kernels/gpu/sm80/sm80_variants.h"

namespace dbsp::kernels::gpu::sm80 {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocksPerSm)
    BlockSparseEntry(const __grid_constant__ Arguments args) {
  BlockSparse<Kernel>(args);
}

template <class Kernel>
int BlocksThatFit() {
  constexpr Variant kVariant = VariantOf<Kernel>();
  return gpu::BlocksThatFit(
      kVariant.name, &BlockSparseEntry<Kernel>, kVariant.threads, kVariant.shared_bytes);
}

template <class Kernel>
void Launch(const AttentionCall& call) {
  constexpr Variant kVariant = VariantOf<Kernel>();
  const int sms = Prepare(kVariant, call);
  const auto stream = static_cast<cudaStream_t>(call.stream);
  // More persistent thread blocks than these would wait for others to end.
  const int resident = BlocksThatFit<Kernel>();
  if (resident == 0) FailLaunch(kVariant.name, "no thread block fits an SM of this device");
  RequireSuccess(kVariant.name, cudaMemsetAsync(call.counter, 0, sizeof(std::int32_t), stream));
  BlockSparseEntry<Kernel><<<sms * resident, kVariant.threads, kVariant.shared_bytes, stream>>>(
      ArgumentsOf(kVariant, call));
  RequireLaunched(kVariant.name);
}

}  // namespace dbsp::kernels::gpu::sm80
