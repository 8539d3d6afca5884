// SPDX-License-Identifier: Apache-2.0
// Time over size, from measured points. The curve is linear between points in log-log space.
#pragma once

#include <span>
#include <vector>

#include "planner/timeline/costs.h"

namespace dbsp::tuner {

/// One measured size.
struct CurvePoint {
  double size = 0;
  double ns = 0;
  double spread = 0;  ///< relative spread of the samples, as UsableTrial::spread
};

/// Monotone time over size, extrapolated beyond the measured sizes with a bounded slope.
///   between points  log ns is linear in log size. The half width of the interval is the points'
///                   spread plus error * u * (1 - u), where u is the position between the points
///                   and `error` is how far inner points are from the line between their
///                   neighbours. (Linear interpolation has the error f''/2 * u (1 - u) h^2, and
///                   leaving a point out doubles h.)
///   above           the slope of the last two points, limited to 1 to 1.25; so the time per byte
///                   never falls below the last measured one
///   below           the slope of the first two points, limited to 0 to 1
///   outside         the half width grows by kOutsideGrowth for every factor of two in size
/// threads  const, safe concurrently
class Curve {
 public:
  static constexpr double kOutsideGrowth = 0.25;

  Curve() = default;
  /// Points of equal size become one (median of medians). Times that decrease with size are treated
  /// as noise and pooled with their neighbours (isotonic regression in log time).
  /// errors  Error{kInvalidArgument} for a size or time that is not finite and positive
  explicit Curve(std::vector<CurvePoint> points);

  [[nodiscard]] bool empty() const { return points_.empty(); }
  [[nodiscard]] std::span<const CurvePoint> points() const { return points_; }
  [[nodiscard]] bool Covers(double size) const;
  /// Returns 0 for size <= 0. requires !empty()
  [[nodiscard]] planner::Estimate At(double size) const;
  /// Relative error of predicting inner points from their neighbours, 90th percentile.
  [[nodiscard]] double held_out_error() const { return held_out_error_; }
  /// Largest size / ns of any point (bytes per nanosecond = GB/s for byte curves).
  [[nodiscard]] double best_rate() const;

 private:
  std::vector<CurvePoint> points_;
  double held_out_error_ = 0;
};

/// `ns` with an interval of relative half width `half`; the low end is at least 0.
[[nodiscard]] planner::Estimate WithInterval(double ns, double half);

}  // namespace dbsp::tuner
