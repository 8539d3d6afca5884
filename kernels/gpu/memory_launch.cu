// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/launch.h"
#include "kernels/gpu/memory_kernels.h"

namespace dbsp::kernels::gpu {
namespace {

template <int kHeadDim, bool kReadSum, bool kWriteSum>
__global__ void __launch_bounds__(kMemoryThreads)
    MergeEntry(const __grid_constant__ MergeArguments args) {
  MergeKernel<kHeadDim, kReadSum, kWriteSum>(args);
}
template <int kHeadDim>
__global__ void __launch_bounds__(kMemoryThreads)
    CopyEntry(const __grid_constant__ CopyArguments args) {
  CopyKernel<kHeadDim>(args);
}
template <int kHeadDim, bool kUndo>
__global__ void __launch_bounds__(kMemoryThreads)
    PermuteEntry(const __grid_constant__ PermuteArguments args) {
  PermuteKernel<kHeadDim, kUndo>(args);
}

template <class Arguments>
void Enqueue(const char* name,
             void (*entry)(Arguments),
             const Arguments& args,
             std::int64_t blocks,
             void* stream) {
  if (blocks == 0) return;
  entry<<<static_cast<unsigned>(blocks), kMemoryThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      args);
  RequireLaunched(name);
}

template <int kHeadDim>
auto MergeEntryOf(const MergeCall& call) {
  if (call.o.data == nullptr) {
    return call.read_sum ? MergeEntry<kHeadDim, true, true> : MergeEntry<kHeadDim, false, true>;
  }
  return call.read_sum ? MergeEntry<kHeadDim, true, false> : MergeEntry<kHeadDim, false, false>;
}

}  // namespace

void LaunchMerge(const MergeCall& call) {
  CheckMerge(call);
  const MergeArguments args = ArgumentsOf(call);
  const auto entry = call.head_dim == 64 ? MergeEntryOf<64>(call) : MergeEntryOf<128>(call);
  Enqueue("merge", entry, args, MergeBlocks(args), call.stream);
}

void LaunchCopy(const CopyCall& call) {
  CheckCopy(call);
  const CopyArguments args = ArgumentsOf(call);
  Enqueue(
      "copy", call.head_dim == 64 ? CopyEntry<64> : CopyEntry<128>, args, args.blocks, call.stream);
}

void LaunchPermute(const PermuteCall& call) {
  CheckPermute(call);
  const PermuteArguments args = ArgumentsOf(call);
  const auto apply = call.head_dim == 64 ? PermuteEntry<64, false> : PermuteEntry<128, false>;
  const auto undo = call.head_dim == 64 ? PermuteEntry<64, true> : PermuteEntry<128, true>;
  Enqueue("permute", call.undo ? undo : apply, args, PermuteBlocks(args), call.stream);
}

}  // namespace dbsp::kernels::gpu
