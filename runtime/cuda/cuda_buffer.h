// SPDX-License-Identifier: Apache-2.0
// Device memory, and host memory that the device can reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/unique_handle.h"

namespace dbsp::runtime {

class CudaStream;

struct CudaMemoryTraits {
  using Type = void*;
  static constexpr Type kNull = nullptr;
  static void Close(Type memory) noexcept;
};
struct CudaPinnedTraits {
  using Type = void*;
  static constexpr Type kNull = nullptr;
  static void Close(Type memory) noexcept;
};

/// `bytes` of device memory, aligned to 256 bytes.
/// threads  one thread at a time
class CudaBuffer {
 public:
  CudaBuffer() = default;
  /// `what` names the buffer in errors. 0 bytes allocate nothing.
  /// errors  Error{kUnavailable} with the requested and the free memory; otherwise as CheckCuda
  CudaBuffer(std::size_t bytes, const std::string& what);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  template <typename T>
  [[nodiscard]] T* As() const {
    return static_cast<T*>(memory_.get());
  }
  [[nodiscard]] void* data() const { return memory_.get(); }
  [[nodiscard]] std::span<std::byte> span() const { return {As<std::byte>(), bytes_}; }

  /// Copies from the host and waits; for set-up and checks, not for timed work.
  /// errors  Error{kInvalidArgument} beyond the buffer; otherwise as CheckCuda
  void Upload(const void* from, std::size_t bytes, const CudaStream& stream) const;
  /// Copies to the host and waits. `offset` is in bytes.
  void Download(void* to,
                std::size_t bytes,
                const CudaStream& stream,
                std::size_t offset = 0) const;
  /// Enqueues a copy of all of `other`.
  /// errors  Error{kInvalidArgument} when it is larger
  void CopyFrom(const CudaBuffer& other, const CudaStream& stream) const;
  /// Enqueues a copy of `bytes` from `other` at byte `from` to byte `to` of this buffer; the two
  /// may be on different devices.
  /// errors  Error{kInvalidArgument} beyond either
  void CopyPart(const CudaBuffer& other,
                std::size_t from,
                std::size_t to,
                std::size_t bytes,
                const CudaStream& stream) const;
  /// Enqueues setting every byte to `value`.
  void Fill(std::uint8_t value, const CudaStream& stream) const;

 private:
  UniqueHandle<CudaMemoryTraits> memory_;
  std::size_t bytes_ = 0;
};

/// A buffer with a copy of `values`.
template <typename T>
[[nodiscard]] CudaBuffer ToDevice(std::span<const T> values,
                                  const std::string& what,
                                  const CudaStream& stream) {
  CudaBuffer buffer(values.size_bytes(), what);
  buffer.Upload(values.data(), values.size_bytes(), stream);
  return buffer;
}

/// Page-locked host memory that kernels read and write in place.
class CudaPinned {
 public:
  /// errors  as CudaBuffer's
  CudaPinned(std::size_t bytes, const std::string& what);
  /// The address, which is the same on host and device (unified addressing).
  template <typename T>
  [[nodiscard]] T* As() const {
    return static_cast<T*>(memory_.get());
  }

 private:
  UniqueHandle<CudaPinnedTraits> memory_;
};

}  // namespace dbsp::runtime
