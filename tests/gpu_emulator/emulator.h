// SPDX-License-Identifier: Apache-2.0
// The instruction layer for a host compiler: the functions of device.cuh, executed by an emulator
// that runs every thread of a block as a fiber. It uses the freedom that the PTX ISA leaves (order
// of threads, completion of asynchronous operations) to provoke faults. Kernels include it through
// isa.h; tests call RunGrid.
//
// The emulator detects these faults and ends the run with one line that names block, thread and
// operation (Error{kInternal}):
//   - a deadlock; the message lists the operation and the missing condition of every waiting thread
//   - access to shared or global memory out of bounds or misaligned; reads of unwritten shared
//   memory
//   - access to memory that TMA, cp.async or wgmma still reads or writes
//   - an accumulator, or P in registers, used or changed between its wgmma and the wait
//   - a missing WgmmaFence, FenceProxyAsync or BarrierInitFence
//   - a transaction count that does not match the bytes, a barrier with too many arrivals
//   - lanes of a warp, or warps of a warpgroup, in different collective operations
// Ordinary C++ loads and stores of shared memory are not checked; use LoadShared and StoreShared.
// docs/design/0006-gpu-emulator.md lists what the emulator cannot detect.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/gpu/isa/types.h"

namespace dbsp::kernels::gpu::isa {

// --- running a kernel ---

/// When asynchronous operations take effect between their start and the wait for them.
enum class Completion : std::uint8_t {
  kRandom,  ///< at seeded moments
  kEarly,  ///< at once
  kLate,  ///< one at a time, and only when no thread can run
};

/// Global memory that LoadGlobal, CopyAsync16, StoreGlobal, AtomicAdd, ... may access.
struct GlobalRegion {
  std::string name;
  const void* data = nullptr;
  std::int64_t bytes = 0;
  bool writable = false;
};

struct RunOptions {
  std::uint64_t seed = 1;  ///< seed of the order of threads, completions and blocks
  Completion completion = Completion::kRandom;
  /// Number of blocks that run interleaved; the others start when these end. The blocks of a
  /// persistent kernel share a counter, so tests use both 1 (one block computes everything) and the
  /// grid size.
  int resident_blocks = 1;
  /// Thread blocks that share a multiprocessor's registers, __launch_bounds__' second number.
  int blocks_per_sm = 1;
  std::vector<GlobalRegion> regions = {};  ///< empty: global addresses are not checked
};

/// Counts of a run.
struct RunReport {
  std::int64_t tma_loads = 0;
  std::int64_t tma_load_bytes = 0;  ///< as the barrier counts them, out-of-bounds parts included
  std::int64_t tma_stores = 0;
  std::int64_t copy_async_bytes = 0;  ///< read from global memory
  std::int64_t wgmma_count = 0;  ///< per warpgroup
  std::int64_t wgmma_multiply_adds = 0;
  std::int64_t mma_count = 0;  ///< per warp
  std::int64_t switches = 0;  ///< fiber switches
};

/// Runs `body` once per thread of every block, as a launch <<<grid, threads, shared_bytes>>> does.
/// body     calls the kernel function. An exception ends the run and is thrown by RunGrid. Threads
/// that
///          have not ended then are unwound by an exception that a kernel must not catch
/// requires grid >= 1, threads a multiple of 32 in 32..1024, shared_bytes in 0..232448
/// ensures  equal arguments give bit-identical runs
/// errors   Error{kInternal} for a detected fault
/// threads  several runs at once are safe; a body cannot start a run
RunReport RunGrid(int grid,
                  int threads,
                  int shared_bytes,
                  const RunOptions& options,
                  const std::function<void()>& body);

/// Arguments of cuTensorMapEncodeTiled: rank 4, bf16, 128-byte swizzle, zero fill.
struct TensorMap {
  std::uint8_t* data = nullptr;
  std::array<std::int64_t, 4> dims = {};  ///< {D, S, H, B} in elements
  std::array<std::int64_t, 3> strides = {};  ///< of S, H, B in bytes
  std::array<int, 4> box = {};  ///< in elements; the first at most 64
};

/// errors  Error{kInvalidArgument} where cuTensorMapEncodeTiled would fail: base or strides not
///         multiples of 16, box over 256 or its first row over 128 bytes
TensorMap MakeTensorMap(void* data,
                        const std::array<std::int64_t, 4>& dims,
                        const std::array<std::int64_t, 3>& stride_bytes,
                        const std::array<int, 4>& box);

// --- functions that the inline functions below call ---

namespace internal {

/// Bits of an accumulator in flight: a signalling NaN. Arithmetic turns it into the quiet NaN, so
/// that `o *= x` is detected as a write.
inline constexpr std::uint32_t kInFlightBits = 0x7F85A5A5U;
inline constexpr std::uint32_t kQuietInFlightBits = 0x7FC5A5A5U;

/// Ends the run if x is an accumulator in flight or was computed from one. Other NaN values are
/// valid.
void CheckNan(float x, const char* operation);
inline float Checked(float x, const char* operation) {
  if (x != x) [[unlikely]]
    CheckNan(x, operation);
  return x;
}

void CheckGlobal(const void* address, int bytes, bool write, const char* operation);
void StoreSharedBytes(std::uint32_t addr, const void* from, int bytes);
void LoadSharedBytes(std::uint32_t addr, void* to, int bytes);
void Wgmma(int n,
           float* d,
           const std::uint32_t* a,
           std::uint64_t desc_a,
           std::uint64_t desc_b,
           bool accumulate);
void WgmmaWait(int groups);
void Touch(const float* r, int count);
void TmaStoreWait(int groups, bool read_only);
void CopyAsyncWait(int groups);
void SetRegisters(int count, bool increase);

/// The column counts for which device_wgmma.cuh has products.
constexpr bool IsWgmmaColumns(int n) {
  return n == 64 || n == 80 || n == 96 || n == 112 || n == 128 || n == 160 || n == 176 ||
         n == 192 || n == 256;
}

}  // namespace internal

// --- thread and block index ---

int ThreadIndex();
int BlockIndex();
int GridSize();
std::uint8_t* SharedBase();
std::uint32_t SharedAddress(const void* pointer);

// --- barriers of threads ---

void SyncThreads();
void SyncWarp();
void NamedSync(int id, int threads);
void NamedArrive(int id, int threads);

// --- within a warp; all 32 lanes take part ---

int BroadcastLane0(int value);
float ShuffleXor(float value, int lane_mask);
int ShuffleXor(int value, int lane_mask);
bool ElectOne();  ///< the same lane every time, not always lane 0

// --- mbarrier ---

void BarrierInit(std::uint32_t bar, int count);
void BarrierInitFence();
void BarrierArrive(std::uint32_t bar);
void BarrierArriveExpect(std::uint32_t bar, int bytes);
void BarrierWait(std::uint32_t bar, std::uint32_t parity);

// --- TMA ---

void PrefetchTensorMap(const TensorMap* map);
void TmaLoad(std::uint32_t dst,
             const TensorMap* map,
             int d,
             int row,
             int head,
             int batch,
             std::uint32_t bar,
             std::uint64_t cache_policy);
void TmaStore(const TensorMap* map, int d, int row, int head, int batch, std::uint32_t src);
void TmaStoreCommit();
template <int N>
void TmaStoreWaitRead() {
  internal::TmaStoreWait(N, true);
}
template <int N>
void TmaStoreWait() {
  internal::TmaStoreWait(N, false);
}
void FenceProxyAsync();

// --- wgmma ---

void WgmmaFence();
void WgmmaCommit();
template <int N>
void WgmmaWait() {
  static_assert(N >= 0 && N <= 7, "wgmma.wait_group takes 0 to 7 groups");
  internal::WgmmaWait(N);
}
template <int N>
void WgmmaSS(float (&d)[N / 2], std::uint64_t desc_a, std::uint64_t desc_b, bool accumulate) {
  static_assert(internal::IsWgmmaColumns(N), "device_wgmma.cuh has no product of this size");
  internal::Wgmma(N, d, nullptr, desc_a, desc_b, accumulate);
}
template <int N>
void WgmmaRS(float (&d)[N / 2],
             const std::uint32_t (&a)[4],
             std::uint64_t desc_b,
             bool accumulate) {
  static_assert(internal::IsWgmmaColumns(N), "device_wgmma.cuh has no product of this size");
  internal::Wgmma(N, d, a, 0, desc_b, accumulate);
}
template <int N>
void Touch(float (&r)[N]) {
  internal::Touch(r, N);
}
template <int R>
void RegistersIncrease() {
  static_assert(R % 8 == 0 && R >= 24 && R <= 256, "setmaxnreg takes multiples of 8 in 24..256");
  internal::SetRegisters(R, true);
}
template <int R>
void RegistersDecrease() {
  static_assert(R % 8 == 0 && R >= 24 && R <= 256, "setmaxnreg takes multiples of 8 in 24..256");
  internal::SetRegisters(R, false);
}

// --- cp.async, ldmatrix, stmatrix, mma.sync ---

void CopyAsync16(std::uint32_t dst, const void* src, int bytes);
void CopyAsyncCommit();
template <int N>
void CopyAsyncWait() {
  internal::CopyAsyncWait(N);
}
void CopyAsyncBarrierArrive(std::uint32_t bar);
void LoadMatrix4(std::uint32_t (&r)[4], std::uint32_t addr);
void LoadMatrix4Trans(std::uint32_t (&r)[4], std::uint32_t addr);
void StoreMatrix4(std::uint32_t addr, const std::uint32_t (&r)[4]);
void Mma16816(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

// --- arithmetic; inline, because a kernel calls little else ---

float Exp2(float x);
float LogE(float x);
inline float FusedMultiplyAdd(float a, float b, float c) {
  return internal::Checked(std::fma(a, b, c), "FusedMultiplyAdd");
}
/// max.f32: the maximum of a NaN and a number is the number.
inline float Max(float a, float b) {
  internal::Checked(a + b, "Max");
  return a > b || b != b ? a : b;
}
std::uint32_t PackBf16(float lo, float hi);  ///< rounds to nearest even
float Bf16Low(std::uint32_t pair);
float Bf16High(std::uint32_t pair);

// --- memory ---

int AtomicAdd(std::int32_t* address, int value);
template <class T>
T LoadGlobal(const T* address) {
  internal::CheckGlobal(address, sizeof(T), false, "LoadGlobal");
  return *address;
}
template <class T>
void StoreGlobal(T* address, T value) {
  internal::CheckGlobal(address, sizeof(T), true, "StoreGlobal");
  if constexpr (std::is_same_v<T, float>) internal::Checked(value, "StoreGlobal");
  *address = value;
}
Vector16 LoadGlobal16(const void* address);
void StoreGlobal16(void* address, Vector16 v);
template <class T>
void StoreShared(std::uint32_t addr, T value) {
  static_assert(sizeof(T) == 4 || std::is_same_v<T, Vector16>, "a 4-byte type or Vector16");
  if constexpr (std::is_same_v<T, float>) internal::Checked(value, "StoreShared");
  internal::StoreSharedBytes(addr, &value, sizeof(T));
}
template <class T>
T LoadShared(std::uint32_t addr) {
  static_assert(sizeof(T) == 4 || std::is_same_v<T, Vector16>, "a 4-byte type or Vector16");
  T value;
  internal::LoadSharedBytes(addr, &value, sizeof(T));
  return value;
}

}  // namespace dbsp::kernels::gpu::isa
