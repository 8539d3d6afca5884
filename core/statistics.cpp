// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"

namespace dbsp {
namespace {

std::vector<double> ToDoubles(std::span<const std::int64_t> values) {
  std::vector<double> converted;
  converted.reserve(values.size());
  for (const std::int64_t value : values) converted.push_back(static_cast<double>(value));
  return converted;
}

std::vector<double> Sorted(std::span<const double> values) {
  if (values.empty()) Fail(ErrorCode::kInvalidArgument, "quantile: expected values, found none");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

double QuantileOfSorted(const std::vector<double>& sorted, double p) {
  const double position = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double weight = position - static_cast<double>(below);
  return sorted[below] + weight * (sorted[above] - sorted[below]);
}

}  // namespace

double Quantile(std::span<const double> values, double p) {
  return QuantileOfSorted(Sorted(values), p);
}

double Median(std::span<const double> values) { return Quantile(values, 0.5); }

double Median(std::span<const std::int64_t> values) { return Median(ToDoubles(values)); }

Quartiles QuartilesOf(std::span<const double> values) {
  const std::vector<double> sorted = Sorted(values);
  return {.first = QuantileOfSorted(sorted, 0.25),
          .median = QuantileOfSorted(sorted, 0.5),
          .third = QuantileOfSorted(sorted, 0.75)};
}

Quartiles QuartilesOf(std::span<const std::int64_t> values) {
  return QuartilesOf(ToDoubles(values));
}

std::optional<double> RelativeIqr(const Quartiles& quartiles) {
  if (quartiles.median <= 0) return std::nullopt;
  return quartiles.iqr() / quartiles.median;
}

double RelativeMedianError(std::span<const std::int64_t> values) {
  return RelativeMedianError(ToDoubles(values));
}

double RelativeMedianError(std::span<const double> values) {
  if (values.size() < 2) return std::numeric_limits<double>::infinity();
  const Quartiles quartiles = QuartilesOf(values);
  return 1.2533 * (quartiles.iqr() / 1.349) / std::sqrt(static_cast<double>(values.size())) /
         quartiles.median;
}

}  // namespace dbsp
