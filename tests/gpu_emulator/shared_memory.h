// SPDX-License-Identifier: Apache-2.0
// Shared memory of a thread block. For every 16 bytes it records which bytes were written, by which
// thread and through which proxy, and which asynchronous operations still use them. Threads are
// numbered within the block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"

namespace dbsp::kernels::gpu::isa::emulator {

/// `bytes` bytes at `offset`, both multiples of 16.
struct SharedSpan {
  int offset = 0;
  int bytes = 0;
};

enum class AsyncKind : std::uint8_t { kNone, kTmaLoad, kTmaStore, kCopyAsync, kWgmma };
const char* AsyncName(AsyncKind kind);

class SharedMemory {
 public:
  /// Address of byte 0. On a GPU the first KiB of the window belongs to the system; here it also
  /// makes address 0 invalid.
  static constexpr std::uint32_t kWindow = 1024;
  static constexpr int kGranule = 16;
  static constexpr int kMaxBytes = 232448;  ///< limit of a thread block on sm_90

  /// block  index in the grid, for messages
  SharedMemory(int block, int threads, int bytes);

  [[nodiscard]] std::uint8_t* data() { return data_; }
  [[nodiscard]] int bytes() const { return bytes_; }

  // errors of all below: Error{kInternal} naming block, thread and operation when a rule of the PTX
  // ISA is broken.

  /// Offset of [addr, addr + bytes). Refuses a span that is out of bounds or misaligned.
  int Offset(int thread, std::uint32_t addr, int bytes, int alignment, const char* operation) const;

  // Generic proxy: ordinary loads and stores.
  void Store(int thread, std::uint32_t addr, const void* from, int bytes, const char* what);
  void Load(int thread, std::uint32_t addr, void* to, int bytes, const char* what) const;

  // An asynchronous writer claims its bytes at issue; Land releases them.
  void ClaimWrite(int thread, SharedSpan span, AsyncKind kind);
  /// The bytes arrive.
  /// generic_writer  the thread of a cp.async, which writes through the generic proxy: a later
  /// wgmma
  ///                 needs a proxy fence. Absent for TMA
  void Land(SharedSpan span, const std::uint8_t* from, std::optional<int> generic_writer);

  // A reader of the async proxy (wgmma, TMA store) claims its bytes at issue; ReleaseRead follows
  // when a thread has waited for it.
  /// oldest_fence  earliest value of fence_time() among the threads that issue the read
  void CheckAsyncRead(int thread,
                      SharedSpan span,
                      std::uint64_t oldest_fence,
                      AsyncKind kind) const;
  void ClaimRead(SharedSpan span, AsyncKind kind);
  void ReleaseRead(SharedSpan span);

  /// FenceProxyAsync of a thread.
  void FenceProxy(int thread) { fence_time_[thread] = ++time_; }
  /// Time of the last FenceProxyAsync of a thread; 0 before the first one.
  [[nodiscard]] std::uint64_t fence_time(int thread) const { return fence_time_[thread]; }

  /// Makes 8 bytes an mbarrier. From then on only barrier operations may touch them.
  void MakeBarrier(int thread, int offset);

 private:
  struct Granule {
    std::uint16_t written = 0;  ///< a bit per byte
    std::uint16_t barrier = 0;  ///< a bit per byte
    std::uint16_t readers = 0;  ///< asynchronous reads in flight
    AsyncKind reader = AsyncKind::kNone;
    AsyncKind writer = AsyncKind::kNone;  ///< asynchronous write in flight
    /// Thread of the last write through the generic proxy; absent when the async proxy wrote last.
    std::optional<int> generic_writer;
    std::uint64_t write_time = 0;
  };
  template <typename... Args>
  [[noreturn]] void Refuse(int thread, fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorCode::kInternal,
         "emulator: block {} thread {}: {}",
         block_,
         thread,
         fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void RefuseUse(int thread,
                              const Granule& granule,
                              int offset,
                              const char* what) const;

  int block_ = 0;
  int bytes_ = 0;
  std::uint64_t time_ = 0;  ///< counts writes and fences, to order them
  std::vector<std::uint64_t> fence_time_;  ///< by thread
  std::vector<std::uint8_t> storage_;
  std::uint8_t* data_ = nullptr;  ///< 1024-byte aligned within storage_
  std::vector<Granule> granules_;
};

}  // namespace dbsp::kernels::gpu::isa::emulator
