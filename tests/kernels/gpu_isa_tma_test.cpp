// SPDX-License-Identifier: Apache-2.0
// TMA and cp.async against an independent model of the tile in shared memory: element (row, column)
// of panel p lies in 16-byte chunk (column / 8) ^ (row % 8) of its row.
#include <gtest/gtest.h>

#include "tests/kernels/isa_case.h"

namespace dbsp::kernels::gpu::isa {
namespace {

constexpr int kHeads = 3;
constexpr int kBatch = 2;

/// bf16 [batch][tokens][heads][head_dim] with a gap after each token that no copy may access.
struct Tensor {
  Tensor(int token_count, int dim) : tokens(token_count), head_dim(dim) {
    values.resize(static_cast<std::size_t>(kBatch) * token_count * token_stride());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(i + 1);
  }
  [[nodiscard]] int token_stride() const { return kHeads * head_dim + 8; }
  [[nodiscard]] std::size_t at(int d, int row, int head, int batch) const {
    return (static_cast<std::size_t>(batch) * tokens + row) * token_stride() + head * head_dim + d;
  }
  /// Value that a load reads; zero out of bounds.
  [[nodiscard]] std::uint16_t Value(int d, int row, int head, int batch) const {
    const bool inside = d >= 0 && d < head_dim && row >= 0 && row < tokens && head >= 0 &&
                        head < kHeads && batch >= 0 && batch < kBatch;
    return inside ? values[at(d, row, head, batch)] : std::uint16_t{0};
  }
  TensorMap Map(int rows) {
    return MakeTensorMap(values.data(),
                         {head_dim, tokens, kHeads, kBatch},
                         {token_stride() * 2, head_dim * 2, tokens * token_stride() * 2},
                         {64, rows, 1, 1});
  }
  int tokens;
  int head_dim;
  std::vector<std::uint16_t> values;
};

/// Element (row, column) of a panel, read by an ordinary load of one thread.
std::uint16_t InPanel(std::uint32_t panel, int row, int column) {
  const std::uint32_t chunk = static_cast<std::uint32_t>((column / 8) ^ (row % 8));
  const std::uint32_t at = panel + static_cast<std::uint32_t>(row) * 128 + chunk * 16;
  const auto word = LoadShared<std::uint32_t>(at + static_cast<std::uint32_t>(column % 8 / 2) * 4);
  return static_cast<std::uint16_t>(column % 2 == 0 ? word : word >> 16U);
}

void LoadTileAndCompare(const Tensor& tensor, const TensorMap& map, int rows, int row0) {
  const std::uint32_t base = SharedAddress(SharedBase());
  const std::uint32_t bar = base + 32768;
  const auto panel = [&](int p) { return base + static_cast<std::uint32_t>(p * rows) * 128; };
  const int panels = tensor.head_dim / 64;
  if (ThreadIndex() == 0) {
    BarrierInit(bar, 1);
    BarrierInitFence();
    BarrierArriveExpect(bar, panels * rows * 128);
    for (int p = 0; p < panels; ++p) {
      TmaLoad(panel(p), &map, p * 64, row0, 2, 1, bar, kEvictFirst);
    }
  }
  SyncThreads();
  BarrierWait(bar, 0);
  for (int row = ThreadIndex(); row < rows; row += 32) {
    for (int d = 0; d < tensor.head_dim; ++d) {
      ASSERT_EQ(InPanel(panel(d / 64), row, d % 64), tensor.Value(d, row0 + row, 2, 1))
          << "row " << row << " column " << d;
    }
  }
}

TEST(IsaTmaTest, LoadsSwizzledTilesAndZeroFillsWhatIsOutOfBounds) {
  for (const int head_dim : {64, 128}) {
    Tensor tensor(100, head_dim);
    for (const int rows : {64, 128}) {
      const TensorMap map = tensor.Map(rows);
      for (const int row0 : {0, 64, -3, 100, 4096}) {
        for (const RunOptions& options : Schedules(2)) {
          const RunReport report =
              RunGrid(1, 32, 32776, options, [&] { LoadTileAndCompare(tensor, map, rows, row0); });
          EXPECT_EQ(report.tma_load_bytes, rows * head_dim * 2);  // always the whole box
        }
      }
    }
  }
}

TEST(IsaTmaTest, StoresClipWhatIsOutOfBoundsAndTouchNothingElse) {
  for (const RunOptions& options : Schedules()) {
    Tensor tensor(100, 128);
    std::vector<std::uint16_t> expected = tensor.values;
    for (int row = 64; row < 100; ++row) {
      for (int d = 0; d < 128; ++d) {
        expected[tensor.at(d, row, 1, 0)] = static_cast<std::uint16_t>(7 * row + d);
      }
    }
    const TensorMap map = tensor.Map(64);
    RunGrid(1, 64, 16384, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      const int row = ThreadIndex();
      for (int d = 0; d < 128; d += 2) {
        const int chunk = (d % 64 / 8) ^ (row % 8);
        const int at = d / 64 * 8192 + row * 128 + chunk * 16 + d % 8 * 2;
        const auto low = static_cast<std::uint16_t>(7 * (64 + row) + d);
        const auto high = static_cast<std::uint16_t>(7 * (64 + row) + d + 1);
        StoreShared(base + static_cast<std::uint32_t>(at),
                    static_cast<std::uint32_t>(low | static_cast<std::uint32_t>(high) << 16U));
      }
      FenceProxyAsync();
      SyncThreads();
      if (ThreadIndex() == 5) {
        TmaStore(&map, 0, 64, 1, 0, base);
        TmaStore(&map, 64, 64, 1, 0, base + 8192);
        TmaStoreCommit();
        TmaStoreWaitRead<0>();
      }
    });
    EXPECT_EQ(tensor.values, expected) << Named(options);
  }
}

TEST(IsaTmaTest, WaitGroupsCountFromTheNewest) {
  for (const RunOptions& options : Schedules()) {
    Tensor tensor(128, 64);
    const TensorMap map = tensor.Map(64);
    RunGrid(1, 32, 16384, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      for (int i = ThreadIndex(); i < 4096; i += 32) {
        StoreShared(base + static_cast<std::uint32_t>(i) * 4, std::uint32_t{0x00020001});
      }
      FenceProxyAsync();
      SyncThreads();
      if (ThreadIndex() != 0) return;
      TmaStore(&map, 0, 0, 0, 0, base);
      TmaStoreCommit();
      TmaStore(&map, 0, 64, 0, 0, base + 8192);
      TmaStoreCommit();
      TmaStoreWaitRead<1>();
      StoreShared(base, 1);  // the first group has been read, the second may not have been
      TmaStoreWait<0>();
      EXPECT_EQ(tensor.values[tensor.at(0, 0, 0, 0)], 1);
      EXPECT_EQ(tensor.values[tensor.at(63, 127, 0, 0)], 2);
    });
  }
}

TEST(IsaTmaTest, MapsThatTheDriverWouldRefuseAreRefused) {
  alignas(16) std::array<std::uint16_t, 64> data = {};
  const std::array<std::int64_t, 4> dims = {64, 1, 1, 1};
  const std::array<std::int64_t, 3> strides = {128, 128, 128};
  EXPECT_NO_THROW(MakeTensorMap(data.data(), dims, strides, {64, 1, 1, 1}));
  EXPECT_THROW(MakeTensorMap(data.data() + 1, dims, strides, {64, 1, 1, 1}), Error);
  EXPECT_THROW(MakeTensorMap(data.data(), dims, {120, 128, 128}, {64, 1, 1, 1}), Error);
  EXPECT_THROW(MakeTensorMap(data.data(), dims, strides, {128, 1, 1, 1}), Error);
  EXPECT_THROW(MakeTensorMap(data.data(), dims, strides, {64, 257, 1, 1}), Error);
}

TEST(IsaCopyAsyncTest, GroupsArriveByTheirWait) {
  std::vector<Vector16> from(64);
  for (std::uint32_t i = 0; i < 64; ++i) from[i] = {i, i + 100, i + 200, i + 300};
  for (const RunOptions& options : Schedules()) {
    const RunReport report = RunGrid(1, 32, 2048, options, [&] {
      const std::uint32_t own =
          SharedAddress(SharedBase()) + static_cast<std::uint32_t>(ThreadIndex()) * 16;
      const auto i = static_cast<std::size_t>(ThreadIndex());
      CopyAsync16(own, &from[i], 16);
      CopyAsyncCommit();
      CopyAsync16(own + 512, &from[32 + i], 16);
      CopyAsync16(own + 1024, nullptr, 0);
      CopyAsyncCommit();
      CopyAsyncWait<1>();
      EXPECT_EQ(LoadShared<Vector16>(own).y, i + 100);
      CopyAsyncWait<0>();
      EXPECT_EQ(LoadShared<Vector16>(own + 512).w, i + 332);
      EXPECT_EQ(LoadShared<Vector16>(own + 1024).x, 0U);
    });
    EXPECT_EQ(report.copy_async_bytes, 32 * 32);
  }
}

TEST(IsaCopyAsyncTest, TheBarrierCountsAThreadWhenItsCopiesHaveLanded) {
  std::vector<Vector16> from(128);
  for (std::uint32_t i = 0; i < 128; ++i) from[i] = {i, i, i, i};
  for (const RunOptions& options : Schedules()) {
    RunGrid(1, 96, 4096, options, [&] {
      const std::uint32_t base = SharedAddress(SharedBase());
      const std::uint32_t bar = base + 2048;
      if (ThreadIndex() == 0) BarrierInit(bar, 64);
      SyncThreads();
      if (ThreadIndex() < 64) {
        for (int i = ThreadIndex(); i < 128; i += 64) {
          CopyAsync16(base + static_cast<std::uint32_t>(i) * 16, &from[i], 16);
        }
        CopyAsyncBarrierArrive(bar);
        CopyAsyncCommit();
        CopyAsyncWait<0>();
      } else {
        BarrierWait(bar, 0);
        for (std::uint32_t i = 0; i < 128; ++i) {
          ASSERT_EQ(LoadShared<Vector16>(base + i * 16).z, i);
        }
      }
    });
  }
}

}  // namespace
}  // namespace dbsp::kernels::gpu::isa
