// SPDX-License-Identifier: Apache-2.0
// The regression of the cost models: a fit with coefficients that cannot be negative, and the error
// of a fit on points it has not seen. Medians and quantiles are in core/statistics.h.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace dbsp::tuner {

/// Upper bound for the next error after `errors`, right for a share `coverage` of them when they
/// come in random order: the ceil((n + 1) * coverage)-th smallest, the largest when there is none
/// that high (split conformal prediction; Lei et al. 2018, section 2.2). 0 without errors.
[[nodiscard]] double ErrorBound(std::vector<double> errors, double coverage);

using FitRow = std::array<double, 3>;
using WideFitRow = std::array<double, 6>;

/// Coefficients c >= 0 that minimise sum_i (x_i . c / y_i - 1)^2. Three columns have 7 sets of
/// positive coefficients and six have 63, so every set is solved and the best legal one taken:
/// exact, and no iteration can fail to end.
/// requires x.size() == y.size(), entries finite and >= 0, y > 0
/// errors   Error{kInvalidArgument} when a size or entry is none of that
/// returns  zeros when no column explains anything
[[nodiscard]] FitRow NonNegativeFit(std::span<const FitRow> x, std::span<const double> y);
[[nodiscard]] WideFitRow NonNegativeFit(std::span<const WideFitRow> x, std::span<const double> y);

/// Relative errors |y_i / f(x_i) - 1| of every point under a fit made without its fold: one point
/// per fold up to 60 points, else ten folds of points i, i + 10, ...
[[nodiscard]] std::vector<double> HeldOutErrors(std::span<const FitRow> x,
                                                std::span<const double> y);
[[nodiscard]] std::vector<double> HeldOutErrors(std::span<const WideFitRow> x,
                                                std::span<const double> y);

}  // namespace dbsp::tuner
