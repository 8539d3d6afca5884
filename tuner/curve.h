// SPDX-License-Identifier: Apache-2.0
// Time over size, from measured points: straight lines between the points in log-log space.
#pragma once

#include <span>
#include <vector>

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// One measured size. `spread` is relative: how far the middle half of the samples reaches from
/// the median.
struct CurvePoint {
  double size = 0;
  double ns = 0;
  double spread = 0;
};

/// Monotone time over size. Beyond the measured sizes it holds a slope and says so.
///   between points  log ns is linear in log size; the interval is the points' spread and, between
///                   them, the curvature seen when each inner point is predicted from its
///                   neighbours: error * u * (1 - u), u = position in the gap (the error of linear
///                   interpolation is f''/2 * u(1-u) h^2, and leaving a point out doubles h)
///   above           constant bandwidth at best (slope 1 to 1.25, the last gap's): never faster
///                   per byte than anything measured
///   below           slope 0 to 1, the first gap's
///   outside         the interval grows by kOutsideGrowth for every doubling
/// threads  const, safe concurrently
class Curve {
 public:
  static constexpr double kOutsideGrowth = 0.25;

  Curve() = default;
  /// Points of equal size become one (median of medians). Times that fall with size are noise and
  /// are pooled with their neighbours (isotonic regression in log time).
  /// errors  Error{kInvalidArgument} for a size or time that is not finite and positive
  explicit Curve(std::vector<CurvePoint> points);

  [[nodiscard]] bool empty() const { return points_.empty(); }
  [[nodiscard]] std::span<const CurvePoint> points() const { return points_; }
  [[nodiscard]] bool Covers(double size) const;
  /// 0 for size <= 0. requires !empty()
  [[nodiscard]] planner::Estimate At(double size) const;
  /// Relative error of inner points predicted from their neighbours, 90th percentile.
  [[nodiscard]] double held_out_error() const { return held_out_error_; }
  /// Largest size / ns of any point (bytes per nanosecond = GB/s for byte curves).
  [[nodiscard]] double best_rate() const;

 private:
  std::vector<CurvePoint> points_;
  double held_out_error_ = 0;
};

/// `ns` with the relative half width `half`, low never below 0.
[[nodiscard]] planner::Estimate WithInterval(double ns, double half);

}  // namespace dbsp::tuner
