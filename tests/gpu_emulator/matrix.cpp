// SPDX-License-Identifier: Apache-2.0
// ldmatrix, stmatrix and mma.sync: operations of a warp on 8x8 and 16x8x16 tiles.
// source  PTX ISA, the fragment layouts in the section of each instruction
#include <array>

#include "tests/gpu_emulator/machine.h"
#include "tests/gpu_emulator/warp.h"

namespace dbsp::kernels::gpu::isa {
namespace emulator {
namespace {

constexpr int kMatrices = 4;
constexpr int kRows = 8;  ///< of a matrix, each 16 bytes: 8 values of 16 bits

/// Row r of matrix m, as halves. Lane 8 m + r holds the row's address.
using Matrices = std::array<std::array<std::array<std::uint16_t, 8>, kRows>, kMatrices>;

struct LoadOperand {
  Thread* self;
  std::uint32_t addr;
  std::uint32_t* r;
};

struct StoreOperand {
  Thread* self;
  std::uint32_t addr;
  const std::uint32_t* r;
};

template <typename Operand>
Operand& Of(const std::array<void*, 32>& operands, int lane) {
  return *static_cast<Operand*>(operands[lane]);
}

Matrices ReadRows(const std::array<void*, 32>& operands, const char* name) {
  Matrices m = {};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = Of<LoadOperand>(operands, lane);
    own.self->block->shared.Load(own.self->index, own.addr, m[lane / 8][lane % 8].data(), 16, name);
  }
  return m;
}

void Load(std::uint32_t (&r)[4], std::uint32_t addr, bool transposed, const char* name) {
  Thread& self = Self(name);
  LoadOperand own = {&self, addr, r};
  Collective(self, name, 0, &own, [=](const auto& operands) {
    const Matrices m = ReadRows(operands, name);
    for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
      for (unsigned i = 0; i < kMatrices; ++i) {
        const unsigned row = lane / 4;
        const unsigned col = lane % 4 * 2;
        const std::uint32_t low = transposed ? m[i][col][row] : m[i][row][col];
        const std::uint32_t high = transposed ? m[i][col + 1][row] : m[i][row][col + 1];
        Of<LoadOperand>(operands, static_cast<int>(lane)).r[i] = low | high << 16U;
      }
    }
  });
}

void WriteRows(const std::array<void*, 32>& operands) {
  Matrices m = {};
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    for (unsigned i = 0; i < kMatrices; ++i) {
      const std::uint32_t pair = Of<StoreOperand>(operands, static_cast<int>(lane)).r[i];
      m[i][lane / 4][lane % 4 * 2] = static_cast<std::uint16_t>(pair);
      m[i][lane / 4][lane % 4 * 2 + 1] = static_cast<std::uint16_t>(pair >> 16U);
    }
  }
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = Of<StoreOperand>(operands, static_cast<int>(lane));
    own.self->block->shared.Store(
        own.self->index, own.addr, m[lane / 8][lane % 8].data(), 16, "StoreMatrix4");
  }
}

struct MmaOperand {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

void Multiply(const std::array<void*, 32>& operands) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = Of<MmaOperand>(operands, lane);
    const int row = lane / 4;
    const int col = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      a[row + i % 2 * 8][col + i / 2 * 8] = Bf16Low(own.a[i]);
      a[row + i % 2 * 8][col + i / 2 * 8 + 1] = Bf16High(own.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[col + i * 8][row] = Bf16Low(own.b[i]);
      b[col + i * 8 + 1][row] = Bf16High(own.b[i]);
    }
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const auto& own = Of<MmaOperand>(operands, lane);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8;
      const int col = lane % 4 * 2 + i % 2;
      float sum = own.d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][col];
      own.d[i] = sum;
    }
  }
}

}  // namespace
}  // namespace emulator

void LoadMatrix4(std::uint32_t (&r)[4], std::uint32_t addr) {
  emulator::Load(r, addr, false, "LoadMatrix4");
}
void LoadMatrix4Trans(std::uint32_t (&r)[4], std::uint32_t addr) {
  emulator::Load(r, addr, true, "LoadMatrix4Trans");
}

void StoreMatrix4(std::uint32_t addr, const std::uint32_t (&r)[4]) {
  emulator::Thread& self = emulator::Self("StoreMatrix4");
  emulator::StoreOperand own = {&self, addr, r};
  emulator::Collective(self, "StoreMatrix4", 0, &own, &emulator::WriteRows);
}

void Mma16816(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  emulator::Thread& self = emulator::Self("Mma16816");
  for (const float x : d) internal::Checked(x, "Mma16816");
  emulator::MmaOperand own = {d, a, b};
  emulator::Collective(self, "Mma16816", 0, &own, [&self](const auto& operands) {
    emulator::Multiply(operands);
    ++self.machine->report().mma_count;
  });
}

}  // namespace dbsp::kernels::gpu::isa
