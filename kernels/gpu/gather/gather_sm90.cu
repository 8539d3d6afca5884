// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>

#include "kernels/gpu/gather/gather_variants.h"
#include "kernels/gpu/gather/kernel.h"
#include "kernels/gpu/launch.h"
#include "kernels/gpu/sm90/prepare.h"
#include "kernels/gpu/sm90/sm90_variants.h"

namespace dbsp::kernels::gpu::gather {
namespace {

template <class Kernel>
__global__ void __launch_bounds__(sm90::Layout<Kernel::kTile>::kThreads,
                                  Kernel::kTile.blocks_per_sm)
    GatherSparse(const __grid_constant__ Arguments args) {
  RunBlock<Kernel::kTile>(args);
}

}  // namespace

template <class Kernel>
int BlocksThatFit() {
  constexpr Variant kVariant = sm90::VariantOf<Kernel>();
  return gpu::BlocksThatFit(
      kVariant.name, &GatherSparse<Kernel>, kVariant.threads, kVariant.shared_bytes);
}

template <class Kernel>
void Launch(const AttentionCall& call) {
  constexpr Variant kVariant = sm90::VariantOf<Kernel>();
  const sm90::Prepared prepared = sm90::Prepare(kVariant, call);
  Arguments args;
  args.work = sm90::WorkOf(kVariant, call);
  args.q = prepared.q;
  args.k = prepared.k;
  args.v = prepared.v;
  args.o = prepared.o;
  args.k_rows = call.k;
  args.v_rows = call.v;
  const auto stream = static_cast<cudaStream_t>(call.stream);
  UseSharedMemory(kVariant.name, &GatherSparse<Kernel>, kVariant.shared_bytes);
  RequireSuccess(kVariant.name, cudaMemsetAsync(call.counter, 0, sizeof(std::int32_t), stream));
  GatherSparse<Kernel><<<prepared.blocks * Kernel::kTile.blocks_per_sm,
                         kVariant.threads,
                         kVariant.shared_bytes,
                         stream>>>(args);
  RequireLaunched(kVariant.name);
}

DBSP_GATHER_KERNELS(DBSP_INSTANTIATE_LAUNCH)

}  // namespace dbsp::kernels::gpu::gather
