// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/launch.h"
#include "kernels/gpu/sla/kernels.h"

namespace dbsp::kernels::gpu {
namespace {

using sla::Arguments;

template <int kHeadDim, int kKBlock>
__global__ void __launch_bounds__(sla::StateLayout<kHeadDim>::kThreads)
    StateEntry(const __grid_constant__ Arguments args) {
  sla::StateKernel<kHeadDim, kKBlock>(args);
}
template <int kHeadDim>
__global__ void __launch_bounds__(sla::SumLayout<kHeadDim>::kThreads)
    SumEntry(const __grid_constant__ Arguments args) {
  sla::SumKernel<kHeadDim>(args);
}
template <int kHeadDim, int kRows>
__global__ void __launch_bounds__(sla::CombineLayout<kHeadDim, kRows>::kThreads)
    CombineEntry(const __grid_constant__ Arguments args) {
  sla::CombineKernel<kHeadDim, kRows>(args);
}

template <class Layout>
void Enqueue(const char* name,
             void (*entry)(Arguments),
             const Arguments& args,
             std::int64_t blocks,
             void* stream) {
  UseSharedMemory(name, entry, Layout::kSharedBytes);
  entry<<<static_cast<unsigned>(blocks),
          Layout::kThreads,
          Layout::kSharedBytes,
          static_cast<cudaStream_t>(stream)>>>(args);
  RequireLaunched(name);
}

template <int kHeadDim>
void LaunchAll(const SlaCall& call, const Arguments& args) {
  Enqueue<sla::StateLayout<kHeadDim>>(
      "sla states",
      call.k_block == 64 ? StateEntry<kHeadDim, 64> : StateEntry<kHeadDim, 128>,
      args,
      sla::StateBlocks(args),
      call.stream);
  Enqueue<sla::SumLayout<kHeadDim>>(
      "sla sums", SumEntry<kHeadDim>, args, sla::SumBlocks(args, kHeadDim), call.stream);
  if (call.q_block == 64) {
    Enqueue<sla::CombineLayout<kHeadDim, 64>>(
        "sla combine", CombineEntry<kHeadDim, 64>, args, sla::CombineBlocks(args), call.stream);
  } else {
    Enqueue<sla::CombineLayout<kHeadDim, 128>>(
        "sla combine", CombineEntry<kHeadDim, 128>, args, sla::CombineBlocks(args), call.stream);
  }
}

}  // namespace

void LaunchSla(const SlaCall& call) {
  CheckSla(call);
  const Arguments args = sla::ArgumentsOf(call);
  call.shape.head_dim == 64 ? LaunchAll<64>(call, args) : LaunchAll<128>(call, args);
}

}  // namespace dbsp::kernels::gpu
