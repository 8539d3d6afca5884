// SPDX-License-Identifier: Apache-2.0
// The index arithmetic of the CUDA sources, walked on the CPU as their threads would.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/attention.h"
#include "kernels/gpu/index.h"

namespace dbsp::kernels::gpu {
namespace {

TEST(GpuIndexTest, TheGridCoversEveryItemAndIsNeverEmptyOrTooLarge) {
  for (const std::int64_t items :
       {0L, 1L, 255L, 256L, 257L, 65535L * 256, 65535L * 256 + 1, 1L << 40}) {
    const std::int64_t blocks = GridFor(items);
    EXPECT_GE(blocks, 1);
    EXPECT_LE(blocks, kMaxBlocks);
    if (blocks < kMaxBlocks) {
      EXPECT_GE(blocks * kThreads, items);
    }
    if (blocks > 1) {
      EXPECT_LT((blocks - 1) * kThreads, items);
    }
  }
}

TEST(GpuIndexTest, RowsAndColumnsGiveBackTheIndex) {
  for (const int cols : {1, 7, 32, 128}) {
    for (std::int64_t index = 0; index < 1000; ++index) {
      const RowCol at = RowColOf(index + (std::int64_t{1} << 33), cols);
      EXPECT_EQ(at.row * cols + at.col, index + (std::int64_t{1} << 33));
      EXPECT_TRUE(at.col >= 0 && at.col < cols);
    }
  }
}

TEST(GpuIndexTest, ThreadsOfACopyDoWhatCopyBlocksDoes) {
  constexpr int kDim = 5;
  constexpr std::int64_t kFromStride = 11, kToStride = 6;
  const std::vector<CopyItem> items{{3, 0, 4}, {60, 30, 0}, {50, 40, 7}};
  std::vector<float> from(200);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  std::vector<float> want(100, -1.0F);
  std::vector<float> got = want;
  CopyBlocks(from.data(), kFromStride, want.data(), kToStride, kDim, items);
  for (const CopyItem& item : items) {
    for (int thread = 0; thread < kThreads; ++thread) {
      for (std::int64_t f = thread; f < item.tokens * kDim; f += kThreads) {
        const RowCol at = RowColOf(f, kDim);
        const CopyOffsets o =
            CopyOffsetsOf(item.from, item.to, at.row, at.col, kFromStride, kToStride);
        EXPECT_EQ(got[o.to], -1.0F) << "written twice";
        got[o.to] = from[o.from];
      }
    }
  }
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace dbsp::kernels::gpu
