// SPDX-License-Identifier: Apache-2.0
#include "tuner/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

double RelativeSquares(const std::vector<FitRow>& x, const std::vector<double>& y, FitRow c) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double p = x[i][0] * c[0] + x[i][1] * c[1] + x[i][2] * c[2];
    sum += (p / y[i] - 1) * (p / y[i] - 1);
  }
  return sum;
}

TEST(NonNegativeFitTest, RecoversExactCoefficients) {
  const std::vector<FitRow> x{{1, 4, 9}, {1, 10, 100}, {2, 3, 7}, {4, 64, 500}, {1, 1, 1}};
  std::vector<double> y;
  for (const FitRow& row : x) y.push_back(5e4 * row[0] + 30 * row[1] + 7 * row[2]);
  const FitRow fit = NonNegativeFit(x, y);
  EXPECT_NEAR(fit[0], 5e4, 1e-4 * 5e4);
  EXPECT_NEAR(fit[1], 30, 1e-4 * 30);
  EXPECT_NEAR(fit[2], 7, 1e-4 * 7);
}

TEST(NonNegativeFitTest, NoNearbyNonNegativePointIsBetter) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(0, 1);
    std::vector<FitRow> x;
    std::vector<double> y;
    for (int i = 0; i < 12; ++i) {
      x.push_back(
          {1 + std::floor(3 * uniform(random)), 100 * uniform(random), 1e4 * uniform(random)});
      // No linear law at all: the unconstrained fit often wants a negative coefficient.
      y.push_back(1 + 100 * uniform(random));
    }
    const FitRow fit = NonNegativeFit(x, y);
    const double error = RelativeSquares(x, y, fit);
    for (std::size_t c = 0; c < fit.size(); ++c) {
      EXPECT_GE(fit[c], 0);
      EXPECT_TRUE(std::isfinite(fit[c]));
    }
    for (int trial = 0; trial < 2000; ++trial) {
      FitRow other = fit;
      const double scale = std::pow(10.0, -4 * uniform(random));
      const FitRow unit{50, 1, 0.01};
      for (std::size_t c = 0; c < fit.size(); ++c) {
        other[c] = std::max(0.0, other[c] + unit[c] * scale * (2 * uniform(random) - 1));
      }
      EXPECT_GE(RelativeSquares(x, y, other), error * (1 - 1e-9));
    }
  }
}

TEST(NonNegativeFitTest, EqualColumnsStillGiveAFiniteAnswer) {
  const std::vector<FitRow> x{{1, 1, 1}, {2, 2, 2}, {3, 3, 3}};
  const FitRow fit = NonNegativeFit(x, std::vector<double>{10, 20, 30});
  EXPECT_NEAR(fit[0] + fit[1] + fit[2], 10, 1e-6);
}

TEST(NonNegativeFitTest, RefusesTimesThatAreNoTimes) {
  const std::vector<FitRow> x{{1, 1, 1}};
  for (const double bad : {0.0,
                           -1.0,
                           std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW((void)NonNegativeFit(x, std::vector<double>{bad}), Error) << bad;
  }
  EXPECT_THROW((void)NonNegativeFit(x, std::vector<double>{1, 2}), Error);
}

TEST(HeldOutErrorsTest, AreNoneForAnExactLawAndSeeAnOutlier) {
  std::vector<FitRow> x;
  std::vector<double> y;
  for (int i = 1; i <= 70; ++i) {  // more than the leave-one-out limit
    x.push_back({1, static_cast<double>(i), static_cast<double>(i * i % 17 + 1)});
    y.push_back(100 + 3 * x.back()[1] + 11 * x.back()[2]);
  }
  for (const double error : HeldOutErrors(x, y)) EXPECT_LT(error, 1e-6);
  y[5] *= 3;
  EXPECT_GT(HeldOutErrors(x, y)[5], 1.0);
}

TEST(ErrorBoundTest, IsTheConformalQuantile) {
  std::vector<double> errors;
  for (int i = 1; i <= 19; ++i) errors.push_back(i);
  EXPECT_EQ(ErrorBound(errors, 0.9), 18);  // ceil(20 * 0.9)
  EXPECT_EQ(ErrorBound({3, 1, 2}, 0.9), 3);
  EXPECT_EQ(ErrorBound({}, 0.9), 0);
}

}  // namespace
}  // namespace dbsp::tuner
