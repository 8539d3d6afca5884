// SPDX-License-Identifier: Apache-2.0
// Uses every function of device.cuh, so that ptxas assembles all inline PTX in every build with
// nvcc. These kernels are never launched.
#include "kernels/gpu/isa/isa.h"

namespace dbsp::kernels::gpu::isa::check {

/// Two ldmatrix and one mma.sync by one warp, for compute capability 8.0.
__device__ void MatrixStep(std::uint32_t shared, float (&d)[4]) {
  std::uint32_t a[4];
  std::uint32_t b[4];
  LoadMatrix4(a, shared + ThreadIndex() * 16);
  LoadMatrix4Trans(b, shared + ThreadIndex() * 16);
  const std::uint32_t pair[2] = {b[0], b[1]};
  Mma16816(d, a, pair);
}

__global__ void CheckSm80(const Vector16* from, Vector16* to, std::int32_t* counter, float* out) {
  const std::uint32_t shared = SharedAddress(SharedBase());
  const int index = BlockIndex() * GridSize() + ThreadIndex();
  CopyAsync16(shared + ThreadIndex() * 16, from + index, index < 64 ? 16 : 0);
  CopyAsyncCommit();
  CopyAsyncWait<0>();
  SyncThreads();
  NamedArrive(1, 64);
  NamedSync(2, 64);
  float d[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  MatrixStep(shared, d);
  SyncWarp();
  const int first = BroadcastLane0(AtomicAdd(counter, 1));
  const float top = ShuffleXor(Max(d[0], d[1]), 1);
  const float sum = FusedMultiplyAdd(Exp2(d[2]), LogE(d[3]), top);
  const std::uint32_t packed = PackBf16(sum, top);
  StoreShared<float>(shared, Bf16Low(packed) + Bf16High(packed));
  StoreShared<Vector16>(shared + 16, LoadGlobal16(from));
  StoreGlobal16(to, LoadShared<Vector16>(shared + 32));
  StoreGlobal(out, LoadShared<float>(shared) + static_cast<float>(ShuffleXor(first, 2)));
  StoreShared(shared + 64, LoadGlobal(counter));
}

__global__ void __launch_bounds__(384, 1)
    CheckSm90(const __grid_constant__ CUtensorMap map, std::uint32_t parity) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  const std::uint32_t shared = SharedAddress(SharedBase());
  const std::uint32_t bar = shared;
  if (ThreadIndex() < 128) {
    RegistersDecrease<40>();
    if (ElectOne()) {
      PrefetchTensorMap(&map);
      BarrierInit(bar, 1);
      BarrierInitFence();
      BarrierArriveExpect(bar, 1024);
      TmaLoad(shared + 1024, &map, 0, 1, 2, 3, bar, kEvictFirst);
      TmaStore(&map, 0, 1, 2, 3, shared + 1024);
      TmaStoreCommit();
      TmaStoreWaitRead<0>();
      TmaStoreWait<0>();
    }
  } else {
    RegistersIncrease<232>();
    BarrierWait(bar, parity);
    const std::uint32_t r[4] = {1, 2, 3, 4};
    StoreMatrix4(shared + 2048, r);
    FenceProxyAsync();
    CopyAsyncBarrierArrive(bar);
    BarrierArrive(bar);
  }
#endif
}

/// One product of each kind with N columns.
template <int N>
__global__ void __launch_bounds__(128, 1) CheckWgmma(std::uint32_t shared, float* out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  float d[N / 2];
  const std::uint32_t a[4] = {1, 2, 3, 4};
  DBSP_UNROLL
  for (float& x : d) x = 0.0F;
  WgmmaFence();
  WgmmaSS<N>(d, DescriptorKMajor(shared), DescriptorKMajor(shared), false);
  WgmmaRS<N>(d, a, DescriptorMnMajor(shared, 16384), true);
  WgmmaCommit();
  WgmmaWait<0>();
  Touch(d);
  DBSP_UNROLL
  for (int i = 0; i < N / 2; ++i) out[i * 128 + ThreadIndex()] = d[i];
#endif
}

template __global__ void CheckWgmma<64>(std::uint32_t, float*);
template __global__ void CheckWgmma<80>(std::uint32_t, float*);
template __global__ void CheckWgmma<96>(std::uint32_t, float*);
template __global__ void CheckWgmma<112>(std::uint32_t, float*);
template __global__ void CheckWgmma<128>(std::uint32_t, float*);
template __global__ void CheckWgmma<160>(std::uint32_t, float*);
template __global__ void CheckWgmma<176>(std::uint32_t, float*);
template __global__ void CheckWgmma<192>(std::uint32_t, float*);
template __global__ void CheckWgmma<256>(std::uint32_t, float*);

}  // namespace dbsp::kernels::gpu::isa::check
