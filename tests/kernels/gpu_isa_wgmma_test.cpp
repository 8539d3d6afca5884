// SPDX-License-Identifier: Apache-2.0
// wgmma on tiles loaded by TMA, compared with a scalar product: every size, every k16 step, every
// element of every fragment. The layouts are compared byte by byte.
#include <gtest/gtest.h>

#include <memory>

#include "tests/gpu_emulator/wgmma_product.h"
#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

constexpr int kWindow = static_cast<int>(emulator::SharedMemory::kWindow);

// Offset at which TMA stores element (row, column) of a tile of 128-byte panels.
int TilePosition(int rows, int row, int column) {
  const int chunk = (column % 64 / 8) ^ (row % 8);
  return column / 64 * rows * 128 + row * 128 + chunk * 16 + column % 8 * 2;
}

TEST(IsaLayoutTest, KMajorDescriptorsNameTheBytesThatTmaWrote) {
  for (const int head_dim : {64, 128}) {
    for (const int rows : {64, 128, 176, 192}) {
      for (int step = 0; step < head_dim / 16; ++step) {
        const int start = step / 4 * rows * 128 + step % 4 * 32;
        const emulator::Descriptor descriptor =
            emulator::Decode(DescriptorKMajor(static_cast<std::uint32_t>(kWindow + start)));
        for (int row = 0; row < rows; ++row) {
          for (int k = 0; k < 16; ++k) {
            ASSERT_EQ(emulator::ChunkOffset(descriptor, false, row, k / 8) + k % 8 * 2,
                      TilePosition(rows, row, step * 16 + k));
          }
        }
      }
    }
  }
}

TEST(IsaLayoutTest, MnMajorDescriptorsNameTheBytesThatTmaWrote) {
  for (const int head_dim : {64, 128}) {
    for (const int rows : {64, 128, 176}) {
      for (int step = 0; step < rows / 16; ++step) {
        const auto start = static_cast<std::uint32_t>(kWindow + step * 2048);
        const emulator::Descriptor descriptor =
            emulator::Decode(DescriptorMnMajor(start, rows * 128));
        for (int k = 0; k < 16; ++k) {
          for (int column = 0; column < head_dim; ++column) {
            ASSERT_EQ(emulator::ChunkOffset(descriptor, true, k, column / 8) + column % 8 * 2,
                      TilePosition(rows, step * 16 + k, column));
          }
        }
      }
    }
  }
}

/// A matrix of small integers in global memory, and a map of its tiles.
struct Operand {
  Operand(int row_count, int columns, std::uint64_t salt) : rows(row_count), cols(columns) {
    for (int i = 0; i < rows * cols; ++i) {
      values.push_back(SmallBf16(salt + static_cast<std::uint64_t>(i)));
    }
    map = MakeTensorMap(values.data(),
                        {cols, rows, 1, 1},
                        {cols * 2, rows * cols * 2, rows * cols * 2},
                        {64, rows, 1, 1});
  }
  [[nodiscard]] float at(int row, int col) const { return FromBf16(values[row * cols + col]); }
  [[nodiscard]] int bytes() const { return rows * cols * 2; }
  int rows;
  int cols;
  std::vector<std::uint16_t> values;
  TensorMap map;
};

/// Loads whole operands one after the other into shared memory. All threads wait for them.
void LoadAll(const std::vector<const Operand*>& operands, std::uint32_t bar) {
  if (ThreadIndex() == 0) {
    BarrierInit(bar, 1);
    BarrierInitFence();
    int bytes = 0;
    for (const Operand* each : operands) bytes += each->bytes();
    BarrierArriveExpect(bar, bytes);
    std::uint32_t at = SharedAddress(SharedBase());
    for (const Operand* each : operands) {
      for (int d = 0; d < each->cols; d += 64, at += static_cast<std::uint32_t>(each->rows) * 128) {
        TmaLoad(at, &each->map, d, 0, 0, 0, bar, kEvictLast);
      }
    }
  }
  SyncThreads();
  BarrierWait(bar, 0);
}

/// Row and column of accumulator i. source: PTX ISA, "Register Fragments for wgmma .m64nNk16", D
int RowOf(int i) {
  return ThreadIndex() % 128 / 32 * 16 + ThreadIndex() % 32 / 4 + (i % 4 >= 2 ? 8 : 0);
}
int ColumnOf(int i) { return 8 * (i / 4) + 2 * (ThreadIndex() % 4) + (i & 1); }

/// Two warpgroups, 64 rows of A each: d = 0.5 + A B^T over all k16 steps.
template <int N>
void ProductOfTiles(const Operand& a, const Operand& b) {
  const std::uint32_t base = SharedAddress(SharedBase());
  LoadAll({&a, &b}, base + static_cast<std::uint32_t>(a.bytes() + b.bytes()));
  const int first = ThreadIndex() / 128 * 64;
  float d[N / 2];
  for (float& x : d) x = 0.5F;
  WgmmaFence();
  for (int step = 0; step < a.cols / 16; ++step) {
    const int in_row = step % 4 * 32;
    const int a_at = step / 4 * a.rows * 128 + first * 128 + in_row;
    const int b_at = a.bytes() + step / 4 * b.rows * 128 + in_row;
    WgmmaSS<N>(d,
               DescriptorKMajor(base + static_cast<std::uint32_t>(a_at)),
               DescriptorKMajor(base + static_cast<std::uint32_t>(b_at)),
               true);
  }
  WgmmaCommit();
  WgmmaWait<0>();
  Touch(d);
  for (int i = 0; i < N / 2; ++i) {
    float sum = 0.5F;
    for (int k = 0; k < a.cols; ++k) sum += a.at(first + RowOf(i), k) * b.at(ColumnOf(i), k);
    ASSERT_EQ(d[i], sum) << "N " << N << " thread " << ThreadIndex() << " accumulator " << i;
  }
}

template <int N>
void CheckProductOfTiles() {
  for (const int head_dim : {64, 128}) {
    const Operand a(128, head_dim, 1);
    const Operand b(N, head_dim, 77);
    for (const RunOptions& options : Schedules(1)) {
      const RunReport report =
          RunGrid(1, 256, a.bytes() + b.bytes() + 8, options, [&] { ProductOfTiles<N>(a, b); });
      EXPECT_EQ(report.wgmma_count, 2 * head_dim / 16);
      EXPECT_EQ(report.wgmma_multiply_adds, std::int64_t{128} * N * head_dim);
    }
  }
}

TEST(IsaWgmmaTest, SharedProductsOfEverySize) {
  CheckProductOfTiles<64>();
  CheckProductOfTiles<80>();
  CheckProductOfTiles<96>();
  CheckProductOfTiles<112>();
  CheckProductOfTiles<128>();
  CheckProductOfTiles<160>();
  CheckProductOfTiles<176>();
  CheckProductOfTiles<192>();
  CheckProductOfTiles<256>();
}

/// One warpgroup: d = P V with P in registers, [64][keys] times [keys][N].
template <int N>
void ProductWithRegisters(const Operand& p, const Operand& v) {
  const std::uint32_t base = SharedAddress(SharedBase());
  LoadAll({&v}, base + static_cast<std::uint32_t>(v.bytes()));
  float d[N / 2];
  std::uint32_t a[12][4];
  // source: PTX ISA, "Register Fragments for wgmma .m64nNk16", A
  for (int step = 0; step < v.rows / 16; ++step) {
    for (int j = 0; j < 4; ++j) {
      const int row = ThreadIndex() / 32 * 16 + ThreadIndex() % 32 / 4 + (j % 2 == 1 ? 8 : 0);
      const int k = step * 16 + ThreadIndex() % 4 * 2 + (j >= 2 ? 8 : 0);
      a[step][j] = PackBf16(p.at(row, k), p.at(row, k + 1));
    }
  }
  WgmmaFence();
  for (int step = 0; step < v.rows / 16; ++step) {
    const auto at = static_cast<std::uint32_t>(step) * 2048;
    WgmmaRS<N>(d, a[step], DescriptorMnMajor(base + at, v.rows * 128), step > 0);
  }
  WgmmaCommit();
  WgmmaWait<0>();
  for (int i = 0; i < N / 2; ++i) {
    float sum = 0.0F;
    for (int k = 0; k < v.rows; ++k) sum += p.at(RowOf(i), k) * v.at(k, ColumnOf(i));
    ASSERT_EQ(d[i], sum) << "N " << N << " thread " << ThreadIndex() << " accumulator " << i;
  }
}

TEST(IsaWgmmaTest, RegisterProductsWithTransposedB) {
  for (const int keys : {64, 128, 176}) {
    const Operand p(64, 192, 5);
    const Operand narrow(keys, 64, 9);
    const Operand wide(keys, 128, 13);
    for (const RunOptions& options : Schedules(2)) {
      RunGrid(1, 128, narrow.bytes() + 8, options, [&] { ProductWithRegisters<64>(p, narrow); });
      RunGrid(1, 128, wide.bytes() + 8, options, [&] { ProductWithRegisters<128>(p, wide); });
    }
  }
}

/// The softmax of one product may overlap the next product: wait<1> returns only the accumulators
/// of the first one.
TEST(IsaWgmmaTest, GroupsAreWaitedForFromTheOldest) {
  const Operand a(64, 64, 3);
  const Operand b(64, 64, 4);
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 128, 16392, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      LoadAll({&a, &b}, base + 16384);
      float first[32];
      float second[32];
      for (int i = 0; i < 32; ++i) second[i] = static_cast<float>(i);
      WgmmaFence();
      WgmmaSS<64>(first, DescriptorKMajor(base), DescriptorKMajor(base + 8192), false);
      WgmmaCommit();
      WgmmaSS<64>(second, DescriptorKMajor(base + 32), DescriptorKMajor(base + 8224), true);
      WgmmaCommit();
      WgmmaWait<1>();
      Touch(first);
      for (int i = 0; i < 32; ++i) {
        float sum = 0.0F;
        for (int k = 0; k < 16; ++k) sum += a.at(RowOf(i), k) * b.at(ColumnOf(i), k);
        ASSERT_EQ(first[i], sum);
        ASSERT_TRUE(second[i] != second[i]) << "second is in flight";
      }
      WgmmaWait<0>();
      for (int i = 0; i < 32; ++i) {
        auto sum = static_cast<float>(i);
        for (int k = 16; k < 32; ++k) sum += a.at(RowOf(i), k) * b.at(ColumnOf(i), k);
        ASSERT_EQ(second[i], sum);
      }
    });
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
