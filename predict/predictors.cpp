// SPDX-License-Identifier: Apache-2.0
#include "predict/predictors.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"

namespace dbsp::predict {
namespace {

std::int64_t Tokens(std::span<const float> values, int dim) {
  return static_cast<std::int64_t>(values.size()) / dim;
}

/// Softmax of one query's scores over all keys.
void Probabilities(const kernels::ScoreInput& input, std::int64_t row, std::vector<double>& p) {
  const auto dim = static_cast<std::size_t>(input.head_dim);
  const float* q = input.q.data() + static_cast<std::size_t>(row) * dim;
  for (std::size_t j = 0; j < p.size(); ++j) {
    const float* k = input.k.data() + j * dim;
    double sum = 0;
    for (std::size_t c = 0; c < dim; ++c) sum += static_cast<double>(q[c]) * k[c];
    p[j] = sum * input.scale;
  }
  const double high = *std::ranges::max_element(p);
  double total = 0;
  for (double& value : p) total += value = std::exp(value - high);
  for (double& value : p) value /= total;
}

/// Keys of the block's mean probability, from the most probable one on, until their sum is `mass`.
void OracleRow(const kernels::ScoreInput& input,
               std::int64_t begin,
               std::int64_t end,
               double mass,
               BlockMask& mask,
               int row) {
  std::vector<double> p(static_cast<std::size_t>(mask.cols()));
  std::vector<double> mean(p.size(), 0.0);
  for (std::int64_t i = begin; i < end; ++i) {
    Probabilities(input, i, p);
    for (std::size_t j = 0; j < p.size(); ++j) mean[j] += p[j];
  }
  std::vector<int> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int a, int b) { return mean[a] > mean[b]; });
  const double target = mass * static_cast<double>(end - begin);
  double kept = 0;
  for (const int key : order) {
    if (kept >= target) break;
    kept += mean[static_cast<std::size_t>(key)];
    mask.Set(row, key);
  }
}

/// A finite decimal number without a sign.
std::optional<double> NumberOf(const std::string& text) {
  const bool digits =
      !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text[0] == '.');
  char* end = nullptr;
  const double value = digits ? std::strtod(text.c_str(), &end) : 0;
  if (!digits || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

Predictor ParseSla(const std::string& text, const std::string& shares) {
  const std::size_t comma = shares.find(',');
  const std::optional<double> critical = NumberOf(shares.substr(0, comma));
  const std::optional<double> negligible =
      comma == std::string::npos ? std::nullopt : NumberOf(shares.substr(comma + 1));
  if (critical && negligible && *critical > 0 && *critical + *negligible <= 1) {
    return {PredictorKind::kSla, *critical, *negligible};
  }
  Fail(ErrorCode::kInvalidArgument,
       "--predictor {}: expected sla:C,N with the shares of critical and negligible blocks, C "
       "above 0 "
       "and C + N at most 1, as sla:0.05,0.1",
       text);
}

}  // namespace

Predictor ParsePredictor(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  const std::string number = colon == std::string::npos ? "" : text.substr(colon + 1);
  Predictor predictor;
  if (name == "sla") return ParseSla(text, number);
  const bool known = name == "threshold" || name == "cdf" || name == "oracle";
  if (name == "cdf") predictor.kind = PredictorKind::kCdf;
  if (name == "oracle") predictor.kind = PredictorKind::kOracle;
  const std::optional<double> value = NumberOf(number);
  const bool whole = value.has_value();
  predictor.value = value.value_or(0);
  const bool share = predictor.kind == PredictorKind::kThreshold || predictor.value <= 1;
  if (known && whole && predictor.value > 0 && share) return predictor;
  Fail(ErrorCode::kInvalidArgument,
       "--predictor {}: expected threshold:X with X above 0, cdf:X or oracle:X with X above 0 and "
       "at "
       "most 1, as threshold:0.5 or cdf:0.9",
       text);
}

BlockMask PredictKeys(const kernels::ScoreInput& input,
                      int q_block,
                      const Predictor& predictor,
                      int threads) {
  const std::int64_t queries = Tokens(input.q, input.head_dim);
  const std::int64_t keys = Tokens(input.k, input.head_dim);
  const double threshold = predictor.value / static_cast<double>(keys);
  if (predictor.kind == PredictorKind::kThreshold && threshold >= 1) {
    Fail(ErrorCode::kInvalidArgument,
         "--predictor threshold:{}: the threshold {}/{} is no probability below 1; expected less "
         "than the {} tokens",
         predictor.value,
         predictor.value,
         keys,
         keys);
  }
  if (predictor.kind == PredictorKind::kOracle && keys > kMaxOracleTokens) {
    Fail(ErrorCode::kInvalidArgument,
         "--predictor oracle: {} tokens, at most {}: its time grows with their square; use "
         "threshold: or cdf:",
         keys,
         kMaxOracleTokens);
  }
  const auto rows = static_cast<int>((queries + q_block - 1) / q_block);
  BlockMask mask(rows, static_cast<int>(keys));
  const auto dim = static_cast<std::size_t>(input.head_dim);
  ParallelFor(rows, threads, [&](int i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * q_block;
    const std::int64_t end = std::min(begin + q_block, queries);
    if (predictor.kind == PredictorKind::kOracle) {
      OracleRow(input, begin, end, predictor.value, mask, i);
      return;
    }
    kernels::ScoreInput block = input;
    block.q = input.q.subspan(static_cast<std::size_t>(begin) * dim,
                              static_cast<std::size_t>(end - begin) * dim);
    const BlockMask row =
        predictor.kind == PredictorKind::kCdf
            ? kernels::KeysOfTopCdf(block, q_block, static_cast<float>(predictor.value))
            : kernels::KeysAboveThreshold(block, q_block, static_cast<float>(threshold));
    std::ranges::copy(row.row(0), mask.mutable_row(i).begin());
  });
  return mask;
}

Recall RecallOf(const kernels::ScoreInput& input,
                const BlockMask& fine,
                int q_block,
                std::int64_t most_rows,
                int threads) {
  const std::int64_t queries = Tokens(input.q, input.head_dim);
  Recall recall;
  recall.rows = std::min(queries, most_rows);
  std::vector<double> mass(static_cast<std::size_t>(recall.rows), 0.0);
  ParallelFor(static_cast<int>(recall.rows), threads, [&](int n) {
    const std::int64_t query = n * queries / recall.rows;
    std::vector<double> p(static_cast<std::size_t>(fine.cols()));
    Probabilities(input, query, p);
    for (int j = 0; j < fine.cols(); ++j) {
      if (fine.Get(static_cast<int>(query / q_block), j)) mass[static_cast<std::size_t>(n)] += p[j];
    }
  });
  recall.sum = std::accumulate(mass.begin(), mass.end(), 0.0);
  return recall;
}

}  // namespace dbsp::predict
