// SPDX-License-Identifier: Apache-2.0
#include "tuner/curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

TEST(CurveTest, PassesThroughItsPoints) {
  const Curve curve({{1e3, 2e3, 0.1}, {1e5, 9e3, 0.05}, {1e6, 7e4, 0}});
  for (const CurvePoint& point : curve.points()) {
    EXPECT_NEAR(curve.At(point.size).ns, point.ns, point.ns * 1e-9);
  }
  EXPECT_EQ(curve.At(0).ns, 0);
  EXPECT_EQ(curve.At(0).high_ns, 0);
}

TEST(CurveTest, FollowsAPowerLawBetweenPoints) {
  const Curve curve({{10, 100, 0}, {1000, 1000, 0}});
  EXPECT_NEAR(curve.At(100).ns, std::sqrt(100.0 * 1000.0), 1e-6);
}

TEST(CurveTest, NeverDecreasesAndIsOrderedAndFinite) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(0.2, 5.0);
    std::vector<CurvePoint> points;
    for (double size = 64; size < 1e8; size *= 8) {
      points.push_back({size, (1000 + size / 3) * uniform(random), 0.3 * uniform(random)});
      if (seed % 3 == 0) points.push_back({size, (1000 + size / 3) * uniform(random), 0.01});
    }
    const Curve curve(points);
    double before = 0;
    for (double size = 1; size < 1e10; size *= 1.7) {
      const planner::Estimate e = curve.At(size);
      ASSERT_TRUE(std::isfinite(e.high_ns));
      ASSERT_LE(0, e.low_ns);
      ASSERT_LE(e.low_ns, e.ns);
      ASSERT_LE(e.ns, e.high_ns);
      ASSERT_GE(e.ns, before * (1 - 1e-9)) << size;
      ASSERT_GE(e.ns * (1 + 1e-9), size / curve.best_rate()) << "faster than anything measured";
      before = e.ns;
    }
  }
}

TEST(CurveTest, IntervalGrowsWithTheDistanceFromTheMeasuredSizes) {
  const Curve curve({{1e3, 1e3, 0.02}, {1e4, 5e3, 0.02}, {1e5, 4e4, 0.02}});
  const auto half = [&](double size) { return curve.At(size).high_ns / curve.At(size).ns - 1; };
  EXPECT_NEAR(half(1e5), 0.02, 1e-9);
  EXPECT_NEAR(half(2e5), 0.02 + Curve::kOutsideGrowth, 1e-9);
  EXPECT_NEAR(half(4e5), 0.02 + 2 * Curve::kOutsideGrowth, 1e-9);
  EXPECT_GT(half(500), 0.2);
  EXPECT_GT(half(3e4), half(1e4));
  EXPECT_TRUE(curve.Covers(1e3));
  EXPECT_FALSE(curve.Covers(1.1e5));
}

TEST(CurveTest, ASinglePointIsLatencyBelowAndBandwidthAbove) {
  const Curve curve({{1000, 50, 0}});
  EXPECT_DOUBLE_EQ(curve.At(10).ns, 50);
  EXPECT_DOUBLE_EQ(curve.At(4000).ns, 200);
}

TEST(CurveTest, IntervalCoversTheTruthBetweenThePoints) {
  // Latency plus bandwidth, measured at factors of four; interpolation misses the bend.
  const auto truth = [](double size) { return 5000 + size / 2; };
  std::vector<CurvePoint> points;
  for (double size = 1024; size <= (1 << 24); size *= 4)
    points.push_back({size, truth(size), 0.01});
  const Curve curve(points);
  for (double size = 1024; size <= (1 << 24); size *= 1.3) {
    EXPECT_LE(curve.At(size).low_ns, truth(size)) << size;
    EXPECT_GE(curve.At(size).high_ns, truth(size)) << size;
  }
}

TEST(CurveTest, RefusesPointsThatAreNotPositive) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(Curve({{1, nan, 0}}), Error);
  EXPECT_THROW(Curve({{1, -3, 0}}), Error);
  EXPECT_THROW(Curve({{1, 0, 0}}), Error);
  EXPECT_THROW(Curve({{0, 1, 0}}), Error);
  EXPECT_THROW(Curve({{1, 1, nan}}), Error);
}

}  // namespace
}  // namespace dbsp::tuner
