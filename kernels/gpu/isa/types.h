// SPDX-License-Identifier: Apache-2.0
// Macros, constants and address functions of the instruction layer that device code and emulator
// share.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define DBSP_KERNEL_CODE __device__ __forceinline__
#define DBSP_UNROLL _Pragma("unroll")
#else
#define DBSP_KERNEL_CODE inline
#define DBSP_UNROLL
#endif

namespace dbsp::kernels::gpu::isa {

/// 16 bytes, the unit of copies of one thread: eight bf16 values, two per word, the lower half
/// first.
struct alignas(16) Vector16 {
  std::uint32_t x = 0;
  std::uint32_t y = 0;
  std::uint32_t z = 0;
  std::uint32_t w = 0;
};

/// L2 policies of TmaLoad. source: the encodings that createpolicy.fractional gives for fraction 1
inline constexpr std::uint64_t kEvictNormal = 0x1000000000000000ULL;
inline constexpr std::uint64_t kEvictFirst = 0x12F0000000000000ULL;
inline constexpr std::uint64_t kEvictLast = 0x14F0000000000000ULL;

inline constexpr int kPanelBytes =
    128;  ///< row of a shared tile: 64 bf16 values, the width of the swizzle

/// Byte offset, in a panel of 128-byte rows that starts at a multiple of 1024 bytes, of 16-byte
/// chunk `chunk` (0-7) of row `row` under the 128-byte swizzle that TMA writes and wgmma reads.
DBSP_KERNEL_CODE constexpr int SwizzledOffset(int row, int chunk) {
  return row * kPanelBytes + ((chunk ^ (row & 7)) << 4);
}

/// Shared-memory matrix descriptor with the 128-byte swizzle. source: PTX ISA, matrix descriptor
/// format: start address, leading and stride byte offsets in units of 16 bytes, swizzle mode 1 at
/// bit 62; tiles start at multiples of 1024 bytes, so that the base offset is 0.
DBSP_KERNEL_CODE constexpr std::uint64_t SwizzledDescriptor(std::uint32_t addr,
                                                            int lbo_bytes,
                                                            int sbo_bytes) {
  return static_cast<std::uint64_t>((addr & 0x3FFFFU) >> 4U) |
         static_cast<std::uint64_t>(static_cast<std::uint32_t>(lbo_bytes) >> 4U) << 16U |
         static_cast<std::uint64_t>(static_cast<std::uint32_t>(sbo_bytes) >> 4U) << 32U |
         std::uint64_t{1} << 62U;
}

/// K-major operand (Q, K: the head dimension is contiguous). k16 step i of a tile of `rows` rows
/// starts at tile + (i / 4) * rows * 128 + (i % 4) * 32. The leading offset is not used for this
/// layout.
DBSP_KERNEL_CODE constexpr std::uint64_t DescriptorKMajor(std::uint32_t addr) {
  return SwizzledDescriptor(addr, 16, 1024);
}

/// MN-major operand B (V: rows are keys, the summation index of the product). k16 step i starts at
/// tile + i * 2048.
/// lbo_bytes  bytes between two panels of 64 columns: rows * 128
DBSP_KERNEL_CODE constexpr std::uint64_t DescriptorMnMajor(std::uint32_t addr, int lbo_bytes) {
  return SwizzledDescriptor(addr, lbo_bytes, 1024);
}

}  // namespace dbsp::kernels::gpu::isa
