// SPDX-License-Identifier: Apache-2.0
// Entry and launcher of a block-sparse kernel; included by the .cu files that instantiate them.
#pragma once

#include <cuda_runtime.h>

#include "kernels/gpu/launch.h"
#include "kernels/gpu/sm90/kernel.h"
#include "kernels/gpu/sm90/prepare.h"
#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu::sm90 {

template <class Kernel>
__global__ void __launch_bounds__(Layout<Kernel::kTile>::kThreads, 1)
    BlockSparse(const __grid_constant__ Arguments args) {
  RunBlock<Kernel::kTile>(args);
}

template <class Kernel>
int BlocksThatFit() {
  constexpr Variant kVariant = VariantOf<Kernel>();
  return gpu::BlocksThatFit(
      kVariant.name, &BlockSparse<Kernel>, kVariant.threads, kVariant.shared_bytes);
}

template <class Kernel>
void Launch(const AttentionCall& call) {
  constexpr Variant kVariant = VariantOf<Kernel>();
  const Prepared prepared = Prepare(kVariant, call);
  const Arguments args{WorkOf(kVariant, call), prepared.q, prepared.k, prepared.v, prepared.o};
  const auto stream = static_cast<cudaStream_t>(call.stream);
  UseSharedMemory(kVariant.name, &BlockSparse<Kernel>, kVariant.shared_bytes);
  RequireSuccess(kVariant.name, cudaMemsetAsync(call.counter, 0, sizeof(std::int32_t), stream));
  BlockSparse<Kernel><<<prepared.blocks, kVariant.threads, kVariant.shared_bytes, stream>>>(args);
  RequireLaunched(kVariant.name);
}

}  // namespace dbsp::kernels::gpu::sm90
