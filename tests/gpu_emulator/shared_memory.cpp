// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/shared_memory.h"

#include <cstring>

namespace dbsp::kernels::gpu::isa::emulator {
namespace {

constexpr std::uint8_t kPoison = 0xFF;  ///< a NaN as bf16 and as float, -1 as int
constexpr std::size_t kAlignment = 1024;

/// Bits of bytes [begin, begin + bytes) of a granule.
std::uint16_t Mask(int begin, int bytes) {
  return static_cast<std::uint16_t>(((1U << static_cast<unsigned>(bytes)) - 1U)
                                    << static_cast<unsigned>(begin));
}

}  // namespace

const char* AsyncName(AsyncKind kind) {
  switch (kind) {
    case AsyncKind::kNone:
      return "nothing";
    case AsyncKind::kTmaLoad:
      return "a TMA load";
    case AsyncKind::kTmaStore:
      return "a TMA store";
    case AsyncKind::kCopyAsync:
      return "a cp.async";
    case AsyncKind::kWgmma:
      return "a wgmma";
  }
  return "";
}

SharedMemory::SharedMemory(int block, int threads, int bytes)
    : block_(block),
      bytes_(bytes),
      fence_time_(static_cast<std::size_t>(threads)),
      storage_(static_cast<std::size_t>(bytes) + 2 * kAlignment, kPoison),
      granules_(static_cast<std::size_t>((bytes + kGranule - 1) / kGranule)) {
  const auto start = reinterpret_cast<std::uintptr_t>(storage_.data());
  data_ = storage_.data() + (kAlignment - start % kAlignment) % kAlignment;
}

int SharedMemory::Offset(
    int thread, std::uint32_t addr, int bytes, int alignment, const char* operation) const {
  const std::int64_t offset = static_cast<std::int64_t>(addr) - kWindow;
  if (offset < 0 || offset + bytes > bytes_) {
    Refuse(thread,
           "{}: shared +{} to +{} is outside of the block's {} bytes",
           operation,
           offset,
           offset + bytes,
           bytes_);
  }
  if (offset % alignment != 0) {
    Refuse(thread, "{}: shared +{} must be a multiple of {}", operation, offset, alignment);
  }
  return static_cast<int>(offset);
}

void SharedMemory::RefuseUse(int thread,
                             const Granule& granule,
                             int offset,
                             const char* what) const {
  if (granule.barrier != 0) Refuse(thread, "{}: shared +{} holds an mbarrier", what, offset);
  if (granule.writer != AsyncKind::kNone) {
    Refuse(thread,
           "{}: shared +{} is still being written by {}; wait for it first",
           what,
           offset,
           AsyncName(granule.writer));
  }
  Refuse(thread,
         "{}: shared +{} is still being read by {}; wait for it before reuse",
         what,
         offset,
         AsyncName(granule.reader));
}

void SharedMemory::Store(
    int thread, std::uint32_t addr, const void* from, int bytes, const char* what) {
  const int offset = Offset(thread, addr, bytes, bytes, what);
  Granule& granule = granules_[offset / kGranule];
  const std::uint16_t mask = Mask(offset % kGranule, bytes);
  if ((granule.barrier & mask) != 0 || granule.writer != AsyncKind::kNone || granule.readers > 0) {
    RefuseUse(thread, granule, offset, what);
  }
  std::memcpy(data_ + offset, from, static_cast<std::size_t>(bytes));
  granule.written |= mask;
  granule.generic_writer = thread;
  granule.write_time = ++time_;
}

void SharedMemory::Load(
    int thread, std::uint32_t addr, void* to, int bytes, const char* what) const {
  const int offset = Offset(thread, addr, bytes, bytes, what);
  const Granule& granule = granules_[offset / kGranule];
  const std::uint16_t mask = Mask(offset % kGranule, bytes);
  if ((granule.barrier & mask) != 0 || granule.writer != AsyncKind::kNone) {
    RefuseUse(thread, granule, offset, what);
  }
  if ((granule.written & mask) != mask) {
    Refuse(
        thread, "{}: shared +{} was never written (plain C++ stores are not seen)", what, offset);
  }
  std::memcpy(to, data_ + offset, static_cast<std::size_t>(bytes));
}

void SharedMemory::ClaimWrite(int thread, SharedSpan span, AsyncKind kind) {
  for (int at = span.offset; at < span.offset + span.bytes; at += kGranule) {
    Granule& granule = granules_[at / kGranule];
    if (granule.barrier != 0 || granule.writer != AsyncKind::kNone || granule.readers > 0) {
      RefuseUse(thread, granule, at, AsyncName(kind));
    }
    granule.writer = kind;
  }
}

void SharedMemory::Land(SharedSpan span,
                        const std::uint8_t* from,
                        std::optional<int> generic_writer) {
  std::memcpy(data_ + span.offset, from, static_cast<std::size_t>(span.bytes));
  for (int at = span.offset; at < span.offset + span.bytes; at += kGranule) {
    Granule& granule = granules_[at / kGranule];
    granule.writer = AsyncKind::kNone;
    granule.written = 0xFFFF;
    granule.generic_writer = generic_writer;
    granule.write_time = generic_writer ? ++time_ : 0;
  }
}

void SharedMemory::CheckAsyncRead(int thread,
                                  SharedSpan span,
                                  std::uint64_t oldest_fence,
                                  AsyncKind kind) const {
  for (int at = span.offset; at < span.offset + span.bytes; at += kGranule) {
    const Granule& granule = granules_[at / kGranule];
    if (granule.barrier != 0 || granule.writer != AsyncKind::kNone) {
      RefuseUse(thread, granule, at, AsyncName(kind));
    }
    if (granule.written != 0xFFFF) {
      Refuse(thread,
             "{}: shared +{} was never written (plain C++ stores are not seen)",
             AsyncName(kind),
             at);
    }
    if (!granule.generic_writer || oldest_fence > granule.write_time) continue;
    if (fence_time(*granule.generic_writer) > granule.write_time) continue;
    Refuse(thread,
           "{} reads shared +{}, which thread {} wrote without a FenceProxyAsync since",
           AsyncName(kind),
           at,
           *granule.generic_writer);
  }
}

void SharedMemory::ClaimRead(SharedSpan span, AsyncKind kind) {
  for (int at = span.offset; at < span.offset + span.bytes; at += kGranule) {
    Granule& granule = granules_[at / kGranule];
    ++granule.readers;
    granule.reader = kind;
  }
}

void SharedMemory::ReleaseRead(SharedSpan span) {
  for (int at = span.offset; at < span.offset + span.bytes; at += kGranule) {
    --granules_[at / kGranule].readers;
  }
}

void SharedMemory::MakeBarrier(int thread, int offset) {
  Granule& granule = granules_[offset / kGranule];
  const std::uint16_t mask = Mask(offset % kGranule, 8);
  if ((granule.barrier & mask) != 0) {
    Refuse(thread, "BarrierInit: shared +{} is an mbarrier already", offset);
  }
  if (granule.writer != AsyncKind::kNone || granule.readers > 0) {
    RefuseUse(thread, granule, offset, "BarrierInit");
  }
  granule.barrier |= mask;
  granule.written &= static_cast<std::uint16_t>(~mask);
}

}  // namespace dbsp::kernels::gpu::isa::emulator
