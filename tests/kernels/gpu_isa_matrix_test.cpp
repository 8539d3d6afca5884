// SPDX-License-Identifier: Apache-2.0
// ldmatrix, stmatrix and mma.sync: which lane holds which element, checked on all of them.
// source  PTX ISA, the figures of each instruction's fragments
#include <gtest/gtest.h>

#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

/// Four 8x8 matrices at rows of 16 bytes: element (m, row, column) is the number 64 m + 8 row +
/// column.
void FillMatrices(std::uint32_t base) {
  for (int word = ThreadIndex(); word < 128; word += 32) {
    const auto low = static_cast<std::uint32_t>(word) * 2;
    StoreShared(base + static_cast<std::uint32_t>(word) * 4, low | (low + 1) << 16U);
  }
  SyncWarp();
}

std::uint32_t OwnRow(std::uint32_t base) {
  return base + static_cast<std::uint32_t>(ThreadIndex()) * 16;
}

TEST(IsaMatrixTest, LoadMatrixGivesEachLaneItsPairOfEachMatrix) {
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 32, 1024, options, [] {
      const std::uint32_t base = SharedAddress(SharedBase());
      FillMatrices(base);
      std::uint32_t r[4];
      LoadMatrix4(r, OwnRow(base));
      for (int m = 0; m < 4; ++m) {
        const int first = 64 * m + 8 * (ThreadIndex() / 4) + ThreadIndex() % 4 * 2;
        EXPECT_EQ(r[m] & 0xFFFFU, static_cast<std::uint32_t>(first));
        EXPECT_EQ(r[m] >> 16U, static_cast<std::uint32_t>(first + 1));
      }
      LoadMatrix4Trans(r, OwnRow(base));
      for (int m = 0; m < 4; ++m) {
        const int first = 64 * m + 8 * (ThreadIndex() % 4 * 2) + ThreadIndex() / 4;
        EXPECT_EQ(r[m] & 0xFFFFU, static_cast<std::uint32_t>(first));
        EXPECT_EQ(r[m] >> 16U, static_cast<std::uint32_t>(first + 8));
      }
    });
  }
}

TEST(IsaMatrixTest, StoreMatrixPutsEachPairWhereLoadMatrixFindsIt) {
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 32, 1024, options, [] {
      const std::uint32_t base = SharedAddress(SharedBase());
      std::uint32_t r[4];
      for (int m = 0; m < 4; ++m) {
        const auto first =
            static_cast<std::uint32_t>(64 * m + 8 * (ThreadIndex() / 4) + ThreadIndex() % 4 * 2);
        r[m] = first | (first + 1) << 16U;
      }
      StoreMatrix4(OwnRow(base), r);
      SyncWarp();
      for (std::uint32_t word = 0; word < 128; ++word) {
        EXPECT_EQ(LoadShared<std::uint32_t>(base + word * 4), word * 2 | (word * 2 + 1) << 16U);
      }
    });
  }
}

TEST(IsaMatrixTest, MmaMultipliesRowsOfAByColumnsOfB) {
  const auto a_at = [](int row, int k) {
    return FromBf16(SmallBf16(static_cast<std::uint64_t>(row * 16 + k)));
  };
  const auto b_at = [](int k, int col) {
    return FromBf16(SmallBf16(static_cast<std::uint64_t>(999 + k * 8 + col)));
  };
  for (const RunOptions& options : Schedules()) {
    const RunReport report = RunGrid(1, 64, 0, options, [&] {
      const int group = ThreadIndex() % 32 / 4;
      const int pair = ThreadIndex() % 4 * 2;
      // a0: (group, pair), a1: (group + 8, pair), a2: (group, pair + 8), a3: (group + 8, pair + 8)
      const std::uint32_t a[4] = {PackBf16(a_at(group, pair), a_at(group, pair + 1)),
                                  PackBf16(a_at(group + 8, pair), a_at(group + 8, pair + 1)),
                                  PackBf16(a_at(group, pair + 8), a_at(group, pair + 9)),
                                  PackBf16(a_at(group + 8, pair + 8), a_at(group + 8, pair + 9))};
      const std::uint32_t b[2] = {PackBf16(b_at(pair, group), b_at(pair + 1, group)),
                                  PackBf16(b_at(pair + 8, group), b_at(pair + 9, group))};
      float d[4] = {1.0F, 2.0F, 3.0F, 4.0F};
      Mma16816(d, a, b);
      for (int i = 0; i < 4; ++i) {
        const int row = group + (i >= 2 ? 8 : 0);
        const int col = pair + i % 2;
        auto sum = static_cast<float>(i + 1);
        for (int k = 0; k < 16; ++k) sum += a_at(row, k) * b_at(k, col);
        EXPECT_EQ(d[i], sum);
      }
    });
    EXPECT_EQ(report.mma_count, 2);
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
