// SPDX-License-Identifier: Apache-2.0
// Operations of a single thread: indices, arithmetic, global memory, loads and stores of shared
// memory.
#include <bit>
#include <cmath>

#include "tests/gpu_emulator/machine.h"

namespace dbsp::kernels::gpu::isa {

using emulator::Self;
using emulator::Thread;

int ThreadIndex() { return Self("ThreadIndex").index; }
int BlockIndex() { return Self("BlockIndex").block->index; }
int GridSize() { return Self("GridSize").machine->grid(); }
std::uint8_t* SharedBase() { return Self("SharedBase").block->shared.data(); }

std::uint32_t SharedAddress(const void* pointer) {
  Thread& self = Self("SharedAddress");
  emulator::SharedMemory& shared = self.block->shared;
  const auto offset = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(pointer) -
                                                reinterpret_cast<std::uintptr_t>(shared.data()));
  if (offset < 0 || offset > shared.bytes()) {
    self.Refuse("SharedAddress: the pointer is {} bytes from SharedBase(), outside of {} bytes",
                offset,
                shared.bytes());
  }
  return static_cast<std::uint32_t>(offset) + emulator::SharedMemory::kWindow;
}

void FenceProxyAsync() {
  Thread& self = Self("FenceProxyAsync");
  self.block->shared.FenceProxy(self.index);
}

void PrefetchTensorMap(const TensorMap* map) {
  if (map->data == nullptr) Self("PrefetchTensorMap").Refuse("PrefetchTensorMap: an empty map");
}

// --- arithmetic ---

void internal::CheckNan(float x, const char* operation) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (bits != kInFlightBits && bits != kQuietInFlightBits) return;
  Self(operation).Refuse(
      "{}: uses an accumulator whose wgmma has not been waited for; call WgmmaWait first",
      operation);
}

float Exp2(float x) {
  const float y = std::exp2(internal::Checked(x, "Exp2"));
  return y < 0x1p-126F ? 0.0F : y;  // .ftz: subnormal results are 0
}
float LogE(float x) { return std::log(internal::Checked(x, "LogE")); }

namespace {

std::uint32_t RoundToBf16(float x) {
  if (x != x) return 0x7FFFU;  // the result of cvt.rn.bf16x2 for every NaN
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
}

}  // namespace

std::uint32_t PackBf16(float lo, float hi) {
  internal::Checked(lo, "PackBf16");
  internal::Checked(hi, "PackBf16");
  return RoundToBf16(lo) | RoundToBf16(hi) << 16U;
}
float Bf16Low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16U); }
float Bf16High(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000U); }

// --- memory ---

void internal::CheckGlobal(const void* address, int bytes, bool write, const char* operation) {
  Thread& self = Self(operation);
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  if (begin % static_cast<std::uintptr_t>(bytes) != 0) {
    self.Refuse("{}: global address {:#x} is not a multiple of {}", operation, begin, bytes);
  }
  const std::vector<GlobalRegion>& regions = self.machine->options().regions;
  if (regions.empty()) return;
  const GlobalRegion* nearest = nullptr;
  for (const GlobalRegion& region : regions) {
    const auto start = reinterpret_cast<std::uintptr_t>(region.data);
    if (begin < start) continue;
    if (begin + static_cast<std::uintptr_t>(bytes) <=
        start + static_cast<std::uintptr_t>(region.bytes)) {
      if (write && !region.writable) {
        self.Refuse("{}: writes \"{}\", which is read-only", operation, region.name);
      }
      return;
    }
    if (nearest == nullptr || region.data > nearest->data) nearest = &region;
  }
  if (nearest == nullptr) self.Refuse("{}: global {:#x} is below every region", operation, begin);
  self.Refuse("{}: {} bytes at byte {} of \"{}\", which has {}",
              operation,
              bytes,
              begin - reinterpret_cast<std::uintptr_t>(nearest->data),
              nearest->name,
              nearest->bytes);
}

int AtomicAdd(std::int32_t* address, int value) {
  Self("AtomicAdd").MaybeYield();
  internal::CheckGlobal(address, 4, true, "AtomicAdd");
  const std::int32_t before = *address;
  *address = before + value;
  return before;
}

Vector16 LoadGlobal16(const void* address) {
  internal::CheckGlobal(address, 16, false, "LoadGlobal16");
  return *static_cast<const Vector16*>(address);
}

void StoreGlobal16(void* address, Vector16 v) {
  internal::CheckGlobal(address, 16, true, "StoreGlobal16");
  *static_cast<Vector16*>(address) = v;
}

void internal::StoreSharedBytes(std::uint32_t addr, const void* from, int bytes) {
  Thread& self = Self("StoreShared");
  self.MaybeYield();
  self.block->shared.Store(self.index, addr, from, bytes, "StoreShared");
}

void internal::LoadSharedBytes(std::uint32_t addr, void* to, int bytes) {
  Thread& self = Self("LoadShared");
  self.MaybeYield();
  self.block->shared.Load(self.index, addr, to, bytes, "LoadShared");
}

}  // namespace dbsp::kernels::gpu::isa
