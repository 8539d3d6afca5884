// SPDX-License-Identifier: Apache-2.0
// One m64nNk16 product: reads the operands from shared memory according to their descriptors, then
// multiplies.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/gpu_emulator/shared_memory.h"

namespace dbsp::kernels::gpu::isa::emulator {

inline constexpr int kProductRows = 64;
inline constexpr int kProductDepth = 16;

/// Fields of a matrix descriptor. source: PTX ISA, "Matrix Descriptor Format"
struct Descriptor {
  int start = 0;  ///< bytes in the shared window
  int leading = 0;  ///< byte offsets
  int stride = 0;
  int base_offset = 0;
  int swizzle = 0;  ///< 1: 128 bytes
};
Descriptor Decode(std::uint64_t bits);

/// Offset in shared memory of the 16 bytes that hold elements 8c..8c+7 of a line: a row's eight
/// consecutive k (K-major) or a k's eight consecutive columns (MN-major).
/// line  K-major: row 0..; MN-major: k 0..15.     chunk  K-major: 0..1; MN-major: column / 8
/// source  PTX ISA, "Strides", canonical layouts with the 128-byte swizzle
int ChunkOffset(const Descriptor& descriptor, bool mn_major, int line, int chunk);

/// The 16-byte pieces that a product reads for an operand of `lines` lines x `chunks` chunks.
std::vector<SharedSpan> Pieces(const Descriptor& descriptor, bool mn_major, int lines, int chunks);

/// to[k][column], from a B tile of n columns.
void ReadB(
    const std::uint8_t* shared, const Descriptor& descriptor, bool mn_major, int n, float* to);
/// to[row][k]
void ReadA(const std::uint8_t* shared, const Descriptor& descriptor, float* to);
/// to[row][k] from the fragments [128][4] of the warpgroup's threads.
void FragmentsToA(const std::uint32_t* fragments, float* to);

/// c[64][n] += a[64][16] b[16][n] in fp32, k ascending.
void MultiplyAdd(int n, const float* a, const float* b, float* c);

/// Row and column of accumulator i of thread t: the D fragment of wgmma.m64nNk16.
constexpr int AccumulatorRow(int t, int i) { return t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8; }
constexpr int AccumulatorColumn(int t, int i) { return i / 4 * 8 + t % 4 * 2 + i % 2; }

}  // namespace dbsp::kernels::gpu::isa::emulator
