// SPDX-License-Identifier: Apache-2.0
// The instruction layer as inline PTX. Only isa.h includes this file.
//
// There is no fallback for older architectures: ptxas rejects a source that uses an sm_90a
// instruction and is compiled for an older one. Sections marked "sm_80" work from compute
// capability 8.0 on; the others need sm_90a. source  PTX ISA 9.0, section of each instruction
#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/gpu/isa/types.h"

namespace dbsp::kernels::gpu::isa {

using TensorMap = CUtensorMap;

// --- thread and block index (sm_80) ---

DBSP_KERNEL_CODE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
DBSP_KERNEL_CODE int BlockIndex() { return static_cast<int>(blockIdx.x); }
DBSP_KERNEL_CODE int GridSize() { return static_cast<int>(gridDim.x); }

DBSP_KERNEL_CODE std::uint8_t* SharedBase() {
  extern __shared__ __align__(1024) std::uint8_t dbsp_shared_memory[];
  return dbsp_shared_memory;
}
DBSP_KERNEL_CODE std::uint32_t SharedAddress(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// --- barriers of threads (sm_80) ---

DBSP_KERNEL_CODE void SyncThreads() { __syncthreads(); }
DBSP_KERNEL_CODE void SyncWarp() { __syncwarp(); }
DBSP_KERNEL_CODE void NamedSync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
DBSP_KERNEL_CODE void NamedArrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// --- within a warp; all 32 lanes take part (sm_80, ElectOne sm_90) ---

DBSP_KERNEL_CODE int BroadcastLane0(int value) { return __shfl_sync(0xFFFFFFFFU, value, 0); }
DBSP_KERNEL_CODE float ShuffleXor(float value, int lane_mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, lane_mask);
}
DBSP_KERNEL_CODE int ShuffleXor(int value, int lane_mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, lane_mask);
}
DBSP_KERNEL_CODE bool ElectOne() {
  std::uint32_t elected = 0;
  asm volatile(
      "{\n.reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, p;\n}"
      : "=r"(elected)
      :
      : "memory");
  return elected != 0;
}

// --- mbarrier ---

DBSP_KERNEL_CODE void BarrierInit(std::uint32_t bar, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}
DBSP_KERNEL_CODE void BarrierInitFence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
DBSP_KERNEL_CODE void BarrierArrive(std::uint32_t bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory");
}
DBSP_KERNEL_CODE void BarrierArriveExpect(std::uint32_t bar, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes)
               : "memory");
}
DBSP_KERNEL_CODE void BarrierWait(std::uint32_t bar, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred p;\n"
      "WAIT:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
      "@p bra.uni DONE;\n"
      "bra.uni WAIT;\n"
      "DONE:\n}" ::"r"(bar),
      "r"(parity)
      : "memory");
}

// --- TMA ---

DBSP_KERNEL_CODE void PrefetchTensorMap(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
DBSP_KERNEL_CODE void TmaLoad(std::uint32_t dst,
                              const TensorMap* map,
                              int d,
                              int row,
                              int head,
                              int batch,
                              std::uint32_t bar,
                              std::uint64_t cache_policy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
      " [%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(dst),
      "l"(map),
      "r"(bar),
      "r"(d),
      "r"(row),
      "r"(head),
      "r"(batch),
      "l"(cache_policy)
      : "memory");
}
DBSP_KERNEL_CODE void TmaStore(
    const TensorMap* map, int d, int row, int head, int batch, std::uint32_t src) {
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
          map),
      "r"(src),
      "r"(d),
      "r"(row),
      "r"(head),
      "r"(batch)
      : "memory");
}
DBSP_KERNEL_CODE void TmaStoreCommit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int N>
DBSP_KERNEL_CODE void TmaStoreWaitRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}
template <int N>
DBSP_KERNEL_CODE void TmaStoreWait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
}
DBSP_KERNEL_CODE void FenceProxyAsync() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// --- wgmma; the products are in device_wgmma.cuh ---

DBSP_KERNEL_CODE void WgmmaFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DBSP_KERNEL_CODE void WgmmaCommit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N>
DBSP_KERNEL_CODE void WgmmaWait() {
  static_assert(N >= 0 && N <= 7, "wgmma.wait_group takes 0 to 7 groups");
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
template <int N>
DBSP_KERNEL_CODE void Touch(float (&r)[N]) {
  DBSP_UNROLL
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(r[i])::"memory");
}

template <int R>
DBSP_KERNEL_CODE void RegistersIncrease() {
  static_assert(R % 8 == 0 && R >= 24 && R <= 256, "setmaxnreg takes multiples of 8 in 24..256");
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(R));
}
template <int R>
DBSP_KERNEL_CODE void RegistersDecrease() {
  static_assert(R % 8 == 0 && R >= 24 && R <= 256, "setmaxnreg takes multiples of 8 in 24..256");
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(R));
}

// --- cp.async, ldmatrix, mma.sync (sm_80); stmatrix (sm_90) ---

DBSP_KERNEL_CODE void CopyAsync16(std::uint32_t dst, const void* src, int bytes) {
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(dst),
               "l"(__cvta_generic_to_global(src)),
               "r"(bytes)
               : "memory");
}
DBSP_KERNEL_CODE void CopyAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
DBSP_KERNEL_CODE void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
DBSP_KERNEL_CODE void CopyAsyncBarrierArrive(std::uint32_t bar) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(bar) : "memory");
}
DBSP_KERNEL_CODE void LoadMatrix4(std::uint32_t (&r)[4], std::uint32_t addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(addr)
               : "memory");
}
DBSP_KERNEL_CODE void LoadMatrix4Trans(std::uint32_t (&r)[4], std::uint32_t addr) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(addr)
               : "memory");
}
DBSP_KERNEL_CODE void StoreMatrix4(std::uint32_t addr, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(addr),
               "r"(r[0]),
               "r"(r[1]),
               "r"(r[2]),
               "r"(r[3])
               : "memory");
}
DBSP_KERNEL_CODE void Mma16816(float (&d)[4],
                               const std::uint32_t (&a)[4],
                               const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// --- arithmetic (sm_80) ---

DBSP_KERNEL_CODE float Exp2(float x) {
  float y = 0.0F;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DBSP_KERNEL_CODE float LogE(float x) {
  constexpr float kLn2 = 0.693147180559945309F;
  float y = 0.0F;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y * kLn2;
}
DBSP_KERNEL_CODE float FusedMultiplyAdd(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DBSP_KERNEL_CODE float Max(float a, float b) { return fmaxf(a, b); }
DBSP_KERNEL_CODE std::uint32_t PackBf16(float lo, float hi) {
  std::uint32_t packed = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(hi), "f"(lo));
  return packed;
}
DBSP_KERNEL_CODE float Bf16Low(std::uint32_t pair) { return __uint_as_float(pair << 16U); }
DBSP_KERNEL_CODE float Bf16High(std::uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000U); }

// --- memory (sm_80) ---

DBSP_KERNEL_CODE int AtomicAdd(std::int32_t* address, int value) {
  return atomicAdd(address, value);
}
template <class T>
DBSP_KERNEL_CODE T LoadGlobal(const T* address) {
  return __ldg(address);
}
template <class T>
DBSP_KERNEL_CODE void StoreGlobal(T* address, T value) {
  *address = value;
}
DBSP_KERNEL_CODE Vector16 LoadGlobal16(const void* address) {
  Vector16 v;
  asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(__cvta_generic_to_global(address)));
  return v;
}
DBSP_KERNEL_CODE void StoreGlobal16(void* address, Vector16 v) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(address)),
               "r"(v.x),
               "r"(v.y),
               "r"(v.z),
               "r"(v.w)
               : "memory");
}
template <class T>
DBSP_KERNEL_CODE void StoreShared(std::uint32_t addr, T value) {
  if constexpr (std::is_same_v<T, Vector16>) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(addr),
                 "r"(value.x),
                 "r"(value.y),
                 "r"(value.z),
                 "r"(value.w)
                 : "memory");
  } else {
    static_assert(sizeof(T) == 4, "StoreShared takes a 4-byte type or Vector16");
    std::uint32_t bits = 0;
    memcpy(&bits, &value, 4);
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(addr), "r"(bits) : "memory");
  }
}
template <class T>
DBSP_KERNEL_CODE T LoadShared(std::uint32_t addr) {
  T value;
  if constexpr (std::is_same_v<T, Vector16>) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "r"(addr)
                 : "memory");
  } else {
    static_assert(sizeof(T) == 4, "LoadShared takes a 4-byte type or Vector16");
    std::uint32_t bits = 0;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(bits) : "r"(addr) : "memory");
    memcpy(&value, &bits, 4);
  }
  return value;
}

}  // namespace dbsp::kernels::gpu::isa

#include "kernels/gpu/isa/device_wgmma.cuh"
