// SPDX-License-Identifier: Apache-2.0
// A block's shared memory with what is known about every 16 bytes of it: which bytes were written,
// by whom and through which proxy, and which asynchronous operations still use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dbsp::kernels::gpu::isa::emulator {

struct Thread;

/// `bytes` bytes at `offset`, both multiples of 16.
struct SharedSpan {
  int offset = 0;
  int bytes = 0;
};

enum class AsyncKind : std::uint8_t { kNone, kTmaLoad, kTmaStore, kCopyAsync, kWgmma };
const char* AsyncName(AsyncKind kind);

class SharedMemory {
 public:
  /// On a GPU the first KiB of the window belongs to the system; it also keeps 0 from being valid.
  static constexpr std::uint32_t kWindow = 1024;
  static constexpr int kGranule = 16;
  static constexpr int kMaxBytes = 232448;  ///< a block's limit on sm_90

  explicit SharedMemory(int bytes);

  [[nodiscard]] std::uint8_t* data() { return data_; }
  [[nodiscard]] int bytes() const { return bytes_; }

  /// Offset of [addr, addr + bytes). errors as Thread::Refuse when out of bounds or misaligned
  int Offset(const Thread& self,
             std::uint32_t addr,
             int bytes,
             int alignment,
             const char* operation) const;

  // The generic proxy: ordinary loads and stores.
  void Store(const Thread& self, std::uint32_t addr, const void* from, int bytes, const char* what);
  void Load(const Thread& self, std::uint32_t addr, void* to, int bytes, const char* what) const;

  // Asynchronous writers claim their bytes at issue and release them when the bytes have landed.
  void ClaimWrite(const Thread& self, SharedSpan span, AsyncKind kind);
  /// Bytes land. A cp.async (generic) writer is remembered, because wgmma needs a proxy fence.
  void Land(SharedSpan span, const std::uint8_t* from, const Thread* generic_writer);

  // Readers of the async proxy (wgmma, TMA store) claim at issue, release when somebody has waited.
  /// oldest_fence  the earliest last FenceProxyAsync among the threads that issue the read
  void CheckAsyncRead(const Thread& self,
                      SharedSpan span,
                      std::uint64_t oldest_fence,
                      AsyncKind kind) const;
  void ClaimRead(SharedSpan span, AsyncKind kind);
  void ReleaseRead(SharedSpan span);

  /// 8 bytes become an mbarrier: from here on only barrier operations may touch them.
  void MakeBarrier(const Thread& self, int offset);

 private:
  struct Granule {
    std::uint16_t written = 0;  ///< a bit per byte
    std::uint16_t barrier = 0;  ///< a bit per byte
    std::uint16_t readers = 0;  ///< asynchronous reads under way
    AsyncKind reader = AsyncKind::kNone;
    AsyncKind writer = AsyncKind::kNone;  ///< an asynchronous write under way
    int generic_writer = -1;  ///< thread whose generic write came last, -1: the async proxy's
    std::uint64_t write_time = 0;
  };
  void RefuseUse(const Thread& self, const Granule& granule, int offset, const char* what) const;

  int bytes_ = 0;
  std::vector<std::uint8_t> storage_;
  std::uint8_t* data_ = nullptr;  ///< 1024-byte aligned within storage_
  std::vector<Granule> granules_;
};

}  // namespace dbsp::kernels::gpu::isa::emulator
