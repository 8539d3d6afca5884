// SPDX-License-Identifier: Apache-2.0
// Statistics of samples. Every median, quartile and quantile of the project is computed here, by
// one rule: type 7 of Hyndman and Fan (1996), linear interpolation between order statistics, the
// default of R and NumPy. The views in db/migrations.h follow the same rule in SQL.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace dbsp {

struct Quartiles {
  double first = 0;
  double median = 0;
  double third = 0;
  [[nodiscard]] double iqr() const { return third - first; }
};

/// The order statistic at position p * (n - 1) of the sorted values, counted from 0. A position
/// between two values is interpolated linearly. The values may come in any order.
/// requires  finite values, 0 <= p <= 1
/// errors    Error{kInvalidArgument} without values; the same holds for Median and QuartilesOf
[[nodiscard]] double Quantile(std::span<const double> values, double p);
[[nodiscard]] double Median(std::span<const double> values);
[[nodiscard]] double Median(std::span<const std::int64_t> values);
[[nodiscard]] Quartiles QuartilesOf(std::span<const double> values);
[[nodiscard]] Quartiles QuartilesOf(std::span<const std::int64_t> values);

/// Interquartile range over the median. Missing when the median is not positive.
[[nodiscard]] std::optional<double> RelativeIqr(const Quartiles& quartiles);

/// Standard error of the median over the median: 1.2533 * (IQR / 1.349) / sqrt(n) / median. IQR /
/// 1.349 is the standard deviation of a normal distribution, and does not react to outliers; 1.2533
/// is sqrt(pi / 2), the standard error of a median over that of a mean. Infinite for n < 2.
[[nodiscard]] double RelativeMedianError(std::span<const double> values);
[[nodiscard]] double RelativeMedianError(std::span<const std::int64_t> values);

}  // namespace dbsp
