// SPDX-License-Identifier: Apache-2.0
#include "core/block_mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using Reference = std::vector<std::vector<bool>>;

void ExpectSame(const BlockMask& mask, const Reference& reference) {
  std::int64_t total = 0;
  for (int i = 0; i < mask.rows(); ++i) {
    const auto& row = reference[i];
    std::vector<int> set;
    for (int j = 0; j < mask.cols(); ++j) {
      ASSERT_EQ(mask.Get(i, j), row[j]) << i << ", " << j;
      if (row[j]) set.push_back(j);
    }
    std::vector<int> appended = {-7};
    mask.AppendRow(i, appended);
    appended.erase(appended.begin());
    ASSERT_EQ(appended, set);
    ASSERT_EQ(mask.RowCount(i), static_cast<int>(set.size()));
    total += static_cast<std::int64_t>(set.size());
    for (int begin = 0; begin <= mask.cols(); begin += 1 + begin / 3) {
      for (int end = begin; end <= mask.cols(); ++end) {
        const auto inside =
            std::count_if(set.begin(), set.end(), [&](int j) { return j >= begin && j < end; });
        ASSERT_EQ(mask.RowCount(i, begin, end), inside) << begin << " to " << end;
      }
    }
    if (mask.cols() % 64 != 0) {
      ASSERT_EQ(mask.row(i).back() >> (mask.cols() % 64), 0U) << "bits behind the last column";
    }
  }
  EXPECT_EQ(mask.Count(), total);
}

TEST(BlockMaskTest, AgreesWithVectorsOfBoolAtAwkwardSizes) {
  std::mt19937_64 random(5);
  for (const int cols : {1, 2, 63, 64, 65, 127, 128, 130}) {
    for (const int rows : {1, 3}) {
      SCOPED_TRACE(cols);
      BlockMask mask(rows, cols);
      Reference reference(static_cast<std::size_t>(rows), std::vector<bool>(cols));
      for (int round = 0; round < 30; ++round) {
        const int i = static_cast<int>(random() % static_cast<unsigned>(rows));
        const int j = static_cast<int>(random() % static_cast<unsigned>(cols));
        const int end = j + static_cast<int>(random() % static_cast<unsigned>(cols - j + 1));
        auto& row = reference[i];
        if (round % 3 == 0) {
          mask.SetRange(i, j, end);
          std::fill(row.begin() + j, row.begin() + end, true);
        } else {
          mask.Set(i, j, round % 3 == 1);
          row[j] = round % 3 == 1;
        }
      }
      ExpectSame(mask, reference);
      BlockMask other(rows, cols);
      other.Set(0, cols - 1);
      mask.Or(other);
      reference[0].back() = true;
      ExpectSame(mask, reference);
      ExpectSame(BlockMask::Full(rows, cols),
                 Reference(static_cast<std::size_t>(rows), std::vector<bool>(cols, true)));
    }
  }
}

TEST(BlockMaskTest, EmptyMasksHaveNoBitsAndNoDensity) {
  for (const BlockMask& mask : {BlockMask(), BlockMask(0, 5), BlockMask(5, 0)}) {
    EXPECT_EQ(mask.Count(), 0);
    EXPECT_EQ(mask.Density(), 0.0);
  }
  EXPECT_EQ(BlockMask::Full(3, 70).Density(), 1.0);
}

TEST(BlockMaskTest, IllegalSizesAreErrors) {
  testing::ExpectError(ErrorCode::kInvalidArgument, {"-1 x 2"}, [] { BlockMask(-1, 2); });
  testing::ExpectError(
      ErrorCode::kInvalidArgument, {"2 x 3", "3 x 2"}, [] { BlockMask(2, 3).Or(BlockMask(3, 2)); });
}

}  // namespace
}  // namespace dbsp
