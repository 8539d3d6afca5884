// SPDX-License-Identifier: Apache-2.0
#include "tuner/curve.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/statistics.h"
#include "tuner/statistics.h"

namespace dbsp::tuner {
namespace {

/// Between two neighbours; where in the gap, 0..1 (outside the range beyond the ends).
double Position(const CurvePoint& a, const CurvePoint& b, double size) {
  return (std::log(size) - std::log(a.size)) / (std::log(b.size) - std::log(a.size));
}

double Between(const CurvePoint& a, const CurvePoint& b, double size) {
  const double u = Position(a, b, size);
  return std::exp((1 - u) * std::log(a.ns) + u * std::log(b.ns));
}

double Slope(const CurvePoint& a, const CurvePoint& b) {
  return (std::log(b.ns) - std::log(a.ns)) / (std::log(b.size) - std::log(a.size));
}

/// One point per size: the median of the medians, and a spread that reaches every one of them.
std::vector<CurvePoint> MergeEqualSizes(std::vector<CurvePoint> points) {
  std::sort(points.begin(), points.end(), [](const CurvePoint& a, const CurvePoint& b) {
    return a.size < b.size;
  });
  std::vector<CurvePoint> merged;
  for (std::size_t i = 0; i < points.size();) {
    std::vector<double> times;
    double spread = 0;
    const std::size_t first = i;
    for (; i < points.size() && points[i].size == points[first].size; ++i) {
      times.push_back(points[i].ns);
      spread = std::max(spread, points[i].spread);
    }
    const double ns = Quantile(times, 0.5);
    for (const double time : times) spread = std::max(spread, std::abs(time / ns - 1));
    merged.push_back({points[first].size, ns, spread});
  }
  return merged;
}

/// Pool adjacent violators on log time (Barlow et al. 1972): the nearest rising sequence.
void MakeRising(std::vector<CurvePoint>& points) {
  struct Pool {
    double sum;
    std::size_t count;
    [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
  };
  std::vector<Pool> pools;
  for (const CurvePoint& point : points) {
    pools.push_back({std::log(point.ns), 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean() > pools.back().mean()) {
      pools[pools.size() - 2].sum += pools.back().sum;
      pools[pools.size() - 2].count += pools.back().count;
      pools.pop_back();
    }
  }
  std::size_t next = 0;
  for (const Pool& pool : pools) {
    for (std::size_t i = 0; i < pool.count; ++i, ++next) {
      if (pool.count == 1) continue;
      const double rising = std::exp(pool.mean());
      points[next].spread = std::max(points[next].spread, std::abs(points[next].ns / rising - 1));
      points[next].ns = rising;
    }
  }
}

}  // namespace

planner::Estimate WithInterval(double ns, double half) {
  return {ns, std::max(0.0, ns * (1 - half)), ns * (1 + half)};
}

Curve::Curve(std::vector<CurvePoint> points) {
  for (const CurvePoint& point : points) {
    if (!(std::isfinite(point.size) && point.size > 0 && std::isfinite(point.ns) && point.ns > 0 &&
          std::isfinite(point.spread) && point.spread >= 0)) {
      Fail(ErrorCode::kInvalidArgument,
           "cost curve: point (size {}, {} ns, spread {}) is not finite and positive",
           point.size,
           point.ns,
           point.spread);
    }
  }
  points_ = MergeEqualSizes(std::move(points));
  std::vector<double> errors;
  for (std::size_t i = 1; i + 1 < points_.size(); ++i) {
    const double guess = Between(points_[i - 1], points_[i + 1], points_[i].size);
    errors.push_back(std::abs(points_[i].ns / guess - 1));
  }
  held_out_error_ = ErrorBound(std::move(errors), 0.9);
  MakeRising(points_);
}

bool Curve::Covers(double size) const {
  return !empty() && size >= points_.front().size && size <= points_.back().size;
}

planner::Estimate Curve::At(double size) const {
  DBSP_CHECK(!empty());
  if (!(size > 0)) return {};
  const CurvePoint& first = points_.front();
  const CurvePoint& last = points_.back();
  if (size <= first.size || size >= last.size) {
    const bool above = size >= last.size;
    const CurvePoint& end = above ? last : first;
    // A single point has no slope: all latency below it, all bandwidth above it.
    double slope = above ? 1 : 0;
    if (points_.size() > 1) {
      slope = above ? std::clamp(Slope(points_[points_.size() - 2], last), 1.0, 1.25)
                    : std::clamp(Slope(first, points_[1]), 0.0, 1.0);
    }
    const double ratio = size / end.size;
    const double half = end.spread + kOutsideGrowth * std::abs(std::log2(ratio));
    return WithInterval(end.ns * std::pow(ratio, slope), half);
  }
  const auto above =
      std::upper_bound(points_.begin(), points_.end(), size, [](double s, const CurvePoint& p) {
        return s < p.size;
      });
  const CurvePoint& a = *(above - 1);
  const CurvePoint& b = *above;
  const double u = Position(a, b, size);
  const double half = std::max(a.spread, b.spread) + held_out_error_ * u * (1 - u);
  return WithInterval(Between(a, b, size), half);
}

double Curve::best_rate() const {
  double best = 0;
  for (const CurvePoint& point : points_) best = std::max(best, point.size / point.ns);
  return best;
}

}  // namespace dbsp::tuner
