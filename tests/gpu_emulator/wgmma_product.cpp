// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/wgmma_product.h"

#include <array>
#include <bit>
#include <cstring>

namespace dbsp::kernels::gpu::isa::emulator {
namespace {

constexpr int kChunk = 8;  ///< bf16 values in 16 bytes

std::array<float, kChunk> ReadChunk(const std::uint8_t* from) {
  std::array<std::uint16_t, kChunk> halves;
  std::memcpy(halves.data(), from, sizeof(halves));
  std::array<float, kChunk> values;
  for (std::size_t i = 0; i < kChunk; ++i) {
    values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(halves[i]) << 16U);
  }
  return values;
}

}  // namespace

Descriptor Decode(std::uint64_t bits) {
  const auto field = [bits](unsigned shift, unsigned width) {
    return static_cast<int>((bits >> shift) & ((std::uint64_t{1} << width) - 1));
  };
  return {field(0, 14) * 16, field(16, 14) * 16, field(32, 14) * 16, field(49, 3), field(62, 2)};
}

int ChunkOffset(const Descriptor& descriptor, bool mn_major, int line, int chunk) {
  int address = descriptor.start;
  if (mn_major) {
    // Atoms of 64 columns x 8 k: `leading` from one to the next along columns, `stride` along k.
    address += chunk / 8 * descriptor.leading + line / 8 * descriptor.stride + line % 8 * 128 +
               chunk % 8 * 16;
  } else {
    // Atoms of 8 rows x 64 k: `stride` from one to the next along rows; a k16 step stays in one.
    address += line / 8 * descriptor.stride + line % 8 * 128 + chunk * 16;
  }
  // The swizzle works on address bits, not on positions in the tile.
  return (address ^ ((address >> 3) & 0x70)) - static_cast<int>(SharedMemory::kWindow);
}

std::vector<SharedSpan> Pieces(const Descriptor& descriptor, bool mn_major, int lines, int chunks) {
  std::vector<SharedSpan> pieces;
  pieces.reserve(lines * chunks);
  for (int line = 0; line < lines; ++line) {
    for (int chunk = 0; chunk < chunks; ++chunk) {
      pieces.push_back({ChunkOffset(descriptor, mn_major, line, chunk), 16});
    }
  }
  return pieces;
}

void ReadB(
    const std::uint8_t* shared, const Descriptor& descriptor, bool mn_major, int n, float* to) {
  if (mn_major) {
    for (int k = 0; k < kProductDepth; ++k) {
      for (int chunk = 0; chunk < n / kChunk; ++chunk) {
        const auto values = ReadChunk(shared + ChunkOffset(descriptor, true, k, chunk));
        std::memcpy(to + k * n + chunk * kChunk, values.data(), sizeof(values));
      }
    }
    return;
  }
  for (int column = 0; column < n; ++column) {
    for (int chunk = 0; chunk < 2; ++chunk) {
      const auto values = ReadChunk(shared + ChunkOffset(descriptor, false, column, chunk));
      for (int i = 0; i < kChunk; ++i) {
        to[(chunk * kChunk + i) * n + column] = values[i];
      }
    }
  }
}

void ReadA(const std::uint8_t* shared, const Descriptor& descriptor, float* to) {
  for (int row = 0; row < kProductRows; ++row) {
    for (int chunk = 0; chunk < 2; ++chunk) {
      const auto values = ReadChunk(shared + ChunkOffset(descriptor, false, row, chunk));
      std::memcpy(to + row * kProductDepth + chunk * kChunk, values.data(), sizeof(values));
    }
  }
}

void FragmentsToA(const std::uint32_t* fragments, float* to) {
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t pair = fragments[t * 4 + i];
      const int row = t / 32 * 16 + t % 32 / 4 + i % 2 * 8;
      const int k = t % 4 * 2 + i / 2 * 8;
      to[row * kProductDepth + k] = std::bit_cast<float>(pair << 16U);
      to[row * kProductDepth + k + 1] = std::bit_cast<float>(pair & 0xFFFF0000U);
    }
  }
}

void MultiplyAdd(int n, const float* a, const float* b, float* c) {
  constexpr int kWidth = 16;  // every n of the kernels is a multiple
  for (int row = 0; row < kProductRows; ++row) {
    for (int first = 0; first < n; first += kWidth) {
      std::array<float, kWidth> sum;
      std::memcpy(sum.data(), c + row * n + first, sizeof(sum));
      for (int k = 0; k < kProductDepth; ++k) {
        const float factor = a[row * kProductDepth + k];
        const float* line = b + k * n + first;
        for (std::size_t j = 0; j < kWidth; ++j) sum[j] += factor * line[j];
      }
      std::memcpy(c + row * n + first, sum.data(), sizeof(sum));
    }
  }
}

}  // namespace dbsp::kernels::gpu::isa::emulator
