// SPDX-License-Identifier: Apache-2.0
#include "tuner/gather_fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include "core/error.h"
#include "core/statistics.h"

namespace dbsp::tuner {
namespace {

using planner::Estimate;

/// Six coefficients need six points, and two more show the error on points left out.
constexpr std::size_t kMinGathers = 8;
constexpr std::size_t kMinLists = 4;
/// As for attention over blocks: clocks and other load change medians by as much.
constexpr double kMinHalf = 0.02;

WideFitRow RowOf(const GatherWork& work) {
  return {static_cast<double>(work.heads),
          static_cast<double>(work.rows),
          static_cast<double>(work.keys),
          static_cast<double>(work.lists.padded_keys - work.keys),
          static_cast<double>(work.lists.runs),
          static_cast<double>(work.lists.max_keys)};
}

FitRow RowOf(std::string_view op, const ListMaking& making) {
  const auto rows = static_cast<double>(making.rows);
  const double bits = rows * static_cast<double>(making.k_tokens);
  const double third = op == "key_lists"        ? static_cast<double>(making.keys)
                       : op == "threshold_keys" ? bits * making.queries
                                                : rows * making.queries;
  return {rows, bits, third};
}

template <typename Row>
struct Points {
  std::vector<Row> x;
  std::vector<double> y;
  std::vector<double> spread;

  void Add(const Row& row, const UsableTrial& trial) {
    x.push_back(row);
    y.push_back(trial.ns);
    spread.push_back(trial.spread);
  }
};

/// Sets theta, errors and the number of trials.
template <typename Row, typename Fit>
void FitPoints(const Points<Row>& points, Fit& fit) {
  const std::span<const Row> x(points.x);
  fit.theta = NonNegativeFit(x, points.y);
  fit.trials = points.x.size();
  const std::vector<double> errors = HeldOutErrors(x, points.y);
  fit.median_error = Quantile(errors, 0.5);
  fit.error_bound = std::max({kMinHalf, ErrorBound(errors, 0.9), Quantile(points.spread, 0.5)});
}

double KeysPerRow(double keys, double rows) { return keys / std::max(rows, 1.0); }

template <typename Row>
double Dot(const Row& a, const Row& b) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
  return sum;
}

/// The terms that explain something.
std::string Sentence(const GatherFit& fit) {
  constexpr std::array kTerms{"ns per head",
                              "ns per list",
                              "ns per key",
                              "ns per padding key",
                              "ns per run",
                              "ns per key of the largest list"};
  std::vector<std::string> terms;
  for (std::size_t c = 0; c < fit.theta.size(); ++c) {
    if (fit.theta[c] > 0) terms.push_back(fmt::format("{:.2f} {}", fit.theta[c], kTerms[c]));
  }
  return fmt::format(
      "gather {} {}x1 d{}: {}; {} trials, held-out error {:.1f}% (median), {:.1f}% (bound of 90%)",
      fit.kernel,
      fit.queries,
      fit.head_dim,
      fmt::join(terms, " + "),
      fit.trials,
      100 * fit.median_error,
      100 * fit.error_bound);
}

}  // namespace

GatherWork WorkOfHead(std::span<const std::int32_t> begin,
                      std::span<const std::int32_t> keys,
                      int step) {
  GatherWork work{.lists = {.step = step}};
  for (std::size_t row = 0; row + 1 < begin.size(); ++row) {
    const auto list = keys.subspan(static_cast<std::size_t>(begin[row]),
                                   static_cast<std::size_t>(begin[row + 1] - begin[row]));
    if (list.empty()) continue;
    ++work.rows;
    work.keys += static_cast<std::int64_t>(list.size());
    AddList(list, work.lists);
  }
  return work;
}

bool GatherFit::Covers(const GatherWork& work) const {
  const double mean = KeysPerRow(static_cast<double>(work.keys), static_cast<double>(work.rows));
  return mean >= min_keys_per_row * 0.999 && mean <= max_keys_per_row * 1.001 &&
         static_cast<double>(work.keys) <= max_keys * 4;
}

Estimate GatherFit::At(const GatherWork& work) const {
  if (work.keys <= 0) return {};
  return WithInterval(Dot(theta, RowOf(work)), Covers(work) ? error_bound : 2 * error_bound);
}

std::vector<GatherFit> FitGathers(const TrialSelection& selection,
                                  int head_dim,
                                  DType dtype,
                                  std::vector<std::string>& remarks) {
  std::map<std::pair<std::string, int>, std::pair<Points<WideFitRow>, int>> groups;
  for (const UsableTrial& trial : selection.trials) {
    const auto* c = std::get_if<AttentionConfig>(&trial.trial->config);
    if (c == nullptr || !c->lists || c->head_dim != head_dim || c->dtype != dtype) continue;
    if (c->active_blocks == 0) continue;
    auto& [points, step] = groups[{c->kernel, c->block.q}];
    step = c->lists->step;
    WideFitRow row = RowOf({c->heads, c->active_rows, c->active_blocks, *c->lists});
    // One thread of a CPU computes all lists, so that no list is waited for.
    if (dtype == DType::kF32) row.back() = 0;
    points.Add(row, trial);
  }
  std::vector<GatherFit> fits;
  for (const auto& [key, group] : groups) {
    const auto& [points, step] = group;
    if (points.x.size() < kMinGathers) {
      remarks.push_back(fmt::format("gather {} {}x1 d{}: {} trials, at least {} needed for a fit",
                                    key.first,
                                    key.second,
                                    head_dim,
                                    points.x.size(),
                                    kMinGathers));
      continue;
    }
    GatherFit fit{.kernel = key.first, .queries = key.second, .head_dim = head_dim, .step = step};
    FitPoints(points, fit);
    fit.min_keys_per_row = std::numeric_limits<double>::infinity();
    for (const WideFitRow& row : points.x) {
      const double mean = KeysPerRow(row[2], row[1]);
      fit.min_keys_per_row = std::min(fit.min_keys_per_row, mean);
      fit.max_keys_per_row = std::max(fit.max_keys_per_row, mean);
      fit.max_keys = std::max(fit.max_keys, row[2]);
    }
    remarks.push_back(Sentence(fit));
    fits.push_back(std::move(fit));
  }
  return fits;
}

Estimate ListFit::At(const ListMaking& making) const {
  if (making.rows <= 0) return {};
  return WithInterval(Dot(theta, RowOf(op, making)), error_bound);
}

std::optional<ListFit> FitLists(const TrialSelection& selection,
                                std::string_view op,
                                int head_dim) {
  Points<FitRow> points;
  for (const UsableTrial& trial : selection.trials) {
    const auto* c = std::get_if<LocalConfig>(&trial.trial->config);
    if (c == nullptr || c->op != op || !c->lists || c->head_dim != head_dim) continue;
    points.Add(RowOf(op, {c->amount, c->block.q, c->lists->k_tokens, c->lists->keys.value_or(0)}),
               trial);
  }
  if (points.x.size() < kMinLists) return std::nullopt;
  ListFit fit{.op = std::string(op)};
  FitPoints(points, fit);
  return fit;
}

bool GatherIsFaster(const Estimate& gather,
                    const Estimate& list_making,
                    int steps,
                    const Estimate& blocks) {
  DBSP_CHECK(steps >= 1);
  return gather.ns + list_making.ns / steps < blocks.ns;
}

}  // namespace dbsp::tuner
