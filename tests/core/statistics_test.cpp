// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp {
namespace {

using Doubles = std::vector<double>;
using Integers = std::vector<std::int64_t>;

TEST(StatisticsTest, QuartilesAreInterpolatedBetweenOrderStatistics) {
  // numpy.quantile([4, 1, 3, 2], [0.25, 0.5, 0.75])
  const Quartiles q = QuartilesOf(Doubles{4, 1, 3, 2});
  EXPECT_EQ(q.first, 1.75);
  EXPECT_EQ(q.median, 2.5);
  EXPECT_EQ(q.third, 3.25);
  EXPECT_EQ(q.iqr(), 1.5);
  // numpy.quantile([1, 2, 4, 8, 16], [0.1, 0.9])
  EXPECT_DOUBLE_EQ(Quantile(Doubles{16, 8, 4, 2, 1}, 0.1), 1.4);
  EXPECT_DOUBLE_EQ(Quantile(Doubles{16, 8, 4, 2, 1}, 0.9), 12.8);
  EXPECT_EQ(Quantile(Doubles{16, 8, 4, 2, 1}, 0), 1);
  EXPECT_EQ(Quantile(Doubles{16, 8, 4, 2, 1}, 1), 16);
}

TEST(StatisticsTest, OneValueIsEveryQuantile) {
  const Quartiles q = QuartilesOf(Integers{7});
  EXPECT_EQ(q.first, 7);
  EXPECT_EQ(q.median, 7);
  EXPECT_EQ(q.third, 7);
}

TEST(StatisticsTest, IntegersAndDoublesGiveTheSame) {
  EXPECT_EQ(Median(Integers{5, 1, 4, 3}), Median(Doubles{5, 1, 4, 3}));
  EXPECT_EQ(QuartilesOf(Integers{5, 1, 4, 3}).third, QuartilesOf(Doubles{5, 1, 4, 3}).third);
}

TEST(StatisticsTest, NoValueIsAnError) {
  const auto refused = [](auto call) {
    testing::ExpectError(ErrorCode::kInvalidArgument, {"found none"}, call);
  };
  refused([] { (void)Quantile({}, 0.5); });
  refused([] { (void)Median(Integers{}); });
  refused([] { (void)QuartilesOf(Doubles{}); });
}

TEST(StatisticsTest, RelativeIqrNeedsAPositiveMedian) {
  EXPECT_EQ(RelativeIqr({.first = 3, .median = 4, .third = 5}), 0.5);
  EXPECT_EQ(RelativeIqr({.first = 0, .median = 0, .third = 5}), std::nullopt);
}

TEST(StatisticsTest, MedianErrorFollowsTheFormulaAndIsInfiniteForOneValue) {
  EXPECT_TRUE(std::isinf(RelativeMedianError(Integers{5})));
  // Sorted 8 9 10 11 12: the quartiles are 9 and 11.
  EXPECT_NEAR(RelativeMedianError(Integers{12, 8, 10, 9, 11}),
              1.2533 * 2 / 1.349 / std::sqrt(5) / 10,
              1e-12);
}

}  // namespace
}  // namespace dbsp
