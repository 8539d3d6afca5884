// SPDX-License-Identifier: Apache-2.0
#include "tuner/statistics.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/error.h"

namespace dbsp::tuner {
namespace {

constexpr std::size_t kLeaveOneOutLimit = 60;
constexpr std::size_t kFolds = 10;

template <typename Row>
double Dot(const Row& row, const Row& coefficients) {
  double sum = 0;
  for (std::size_t c = 0; c < row.size(); ++c) sum += row[c] * coefficients[c];
  return sum;
}

template <typename Row>
void RequireUsable(std::span<const Row> x, std::span<const double> y) {
  bool good = x.size() == y.size();
  for (std::size_t i = 0; good && i < x.size(); ++i) {
    good = std::isfinite(y[i]) && y[i] > 0;
    for (const double value : x[i]) good = good && std::isfinite(value) && value >= 0;
  }
  if (!good) {
    Fail(ErrorCode::kInvalidArgument,
         "fit: {} rows and {} times, expected as many of both, finite "
         "and not negative",
         x.size(),
         y.size());
  }
}

template <typename Row>
double SquaredError(std::span<const Row> x, std::span<const double> y, const Row& c) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = Dot(x[i], c) / y[i] - 1;
    sum += error * error;
  }
  return sum;
}

/// Least squares over the columns in `chosen` only. Columns are scaled to length one first: blocks
/// count in the hundred thousands where calls count in ones.
template <typename Row>
Row FitColumnsOf(std::span<const Row> x,
                 std::span<const double> y,
                 const std::vector<std::size_t>& chosen) {
  const auto rows = static_cast<Eigen::Index>(x.size());
  Eigen::MatrixXd a(rows, static_cast<Eigen::Index>(chosen.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < chosen.size(); ++j) {
      a(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = x[i][chosen[j]] / y[i];
    }
  }
  const Eigen::VectorXd length = a.colwise().norm().cwiseMax(1e-300);
  a = a * length.cwiseInverse().asDiagonal();
  const Eigen::VectorXd solution =
      a.colPivHouseholderQr().solve(Eigen::VectorXd::Ones(rows)).cwiseQuotient(length);
  Row result{};
  for (std::size_t j = 0; j < chosen.size(); ++j) {
    result[chosen[j]] = solution[static_cast<Eigen::Index>(j)];
  }
  return result;
}

template <typename Row>
Row BestFit(std::span<const Row> x, std::span<const double> y) {
  RequireUsable(x, y);
  constexpr std::size_t kColumns = std::tuple_size_v<Row>;
  Row best{};
  if (x.empty()) return best;
  double best_error = SquaredError(x, y, best);
  for (unsigned set = 1; set < (1U << kColumns); ++set) {
    std::vector<std::size_t> chosen;
    for (std::size_t c = 0; c < kColumns; ++c) {
      if ((set >> c) & 1U) chosen.push_back(c);
    }
    const Row fit = FitColumnsOf(x, y, chosen);
    const bool legal =
        std::all_of(fit.begin(), fit.end(), [](double c) { return std::isfinite(c) && c >= 0; });
    if (!legal) continue;
    const double error = SquaredError(x, y, fit);
    // Fewer columns win unless one more explains something: sets are tried in an order where a
    // subset always comes before what holds it.
    if (error < best_error * (1 - 1e-9)) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

template <typename Row>
std::vector<double> ErrorsOutOfFold(std::span<const Row> x, std::span<const double> y) {
  RequireUsable(x, y);
  const std::size_t folds = x.size() <= kLeaveOneOutLimit ? x.size() : kFolds;
  std::vector<double> errors(x.size(), 0);
  for (std::size_t fold = 0; fold < folds; ++fold) {
    std::vector<Row> kept_x;
    std::vector<double> kept_y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i % folds == fold) continue;
      kept_x.push_back(x[i]);
      kept_y.push_back(y[i]);
    }
    const Row fit = BestFit<Row>(kept_x, kept_y);
    for (std::size_t i = fold; i < x.size(); i += folds) {
      const double predicted = Dot(x[i], fit);
      // A fit that says nothing of the point left out is wrong by the whole point.
      errors[i] = predicted > 0 ? std::abs(y[i] / predicted - 1) : 1.0;
    }
  }
  return errors;
}

}  // namespace

double ErrorBound(std::vector<double> errors, double coverage) {
  if (errors.empty()) return 0;
  std::sort(errors.begin(), errors.end());
  const double rank = std::ceil(static_cast<double>(errors.size() + 1) * coverage);
  const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
  return errors[std::min(index, errors.size() - 1)];
}

FitRow NonNegativeFit(std::span<const FitRow> x, std::span<const double> y) {
  return BestFit(x, y);
}

WideFitRow NonNegativeFit(std::span<const WideFitRow> x, std::span<const double> y) {
  return BestFit(x, y);
}

std::vector<double> HeldOutErrors(std::span<const FitRow> x, std::span<const double> y) {
  return ErrorsOutOfFold(x, y);
}

std::vector<double> HeldOutErrors(std::span<const WideFitRow> x, std::span<const double> y) {
  return ErrorsOutOfFold(x, y);
}

}  // namespace dbsp::tuner
