// SPDX-License-Identifier: Apache-2.0
// Predicted lists against softmax rows computed pair by pair.
#include "predict/predictors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tests/core/expect_error.h"

namespace dbsp::predict {
namespace {

constexpr int kDim = 16;

struct Case {
  int tokens;
  std::vector<float> q, k;
  [[nodiscard]] kernels::ScoreInput input() const { return {q, k, kDim, 0.25F}; }
};

Case Draw(int tokens, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 1.5F);
  Case drawn{tokens, std::vector<float>(tokens * kDim), std::vector<float>(tokens * kDim)};
  for (float& value : drawn.q) value = normal(random);
  for (float& value : drawn.k) value = normal(random);
  return drawn;
}

/// softmax(scale q k) of any query vector.
std::vector<double> Softmax(const Case& c, const double* q) {
  std::vector<double> p(c.tokens);
  double total = 0;
  for (int j = 0; j < c.tokens; ++j) {
    double score = 0;
    for (int d = 0; d < kDim; ++d) score += q[d] * c.k[j * kDim + d];
    total += p[j] = std::exp(0.25 * score);
  }
  for (double& value : p) value /= total;
  return p;
}

std::vector<double> RowOf(const Case& c, int query) {
  const std::vector<double> q(c.q.begin() + query * kDim, c.q.begin() + (query + 1) * kDim);
  return Softmax(c, q.data());
}

/// Requires the fewest most probable keys that hold `mass`; probabilities within 1e-5 are equal.
void ExpectTopKeys(const BlockMask& mask, int row, const std::vector<double>& p, double mass) {
  double kept = 0;
  double least = 1;
  double most_left = 0;
  for (int j = 0; j < mask.cols(); ++j) {
    if (mask.Get(row, j)) {
      kept += p[j];
      least = std::min(least, p[j]);
    } else {
      most_left = std::max(most_left, p[j]);
    }
  }
  EXPECT_GE(kept, mass - 1e-5) << "row " << row;
  EXPECT_LT(kept - least, mass + 1e-5) << "row " << row << " has a key too many";
  EXPECT_GE(least, most_left - 1e-5) << "row " << row;
}

TEST(PredictorsTest, ThresholdKeepsKeysThatAnyQueryOfTheBlockNeeds) {
  for (const int tokens : {1, 64, 65, 200}) {
    for (const int queries : {64, 128}) {
      for (const double value : {0.5, 0.9, 4.0}) {
        const Case c = Draw(tokens, 5);
        if (value >= tokens) continue;
        const BlockMask mask =
            PredictKeys(c.input(), queries, {PredictorKind::kThreshold, value}, 2);
        ASSERT_EQ(mask.rows(), (tokens + queries - 1) / queries);
        const double threshold = value / tokens;
        std::vector<double> highest(mask.rows() * tokens, 0);
        for (int i = 0; i < tokens; ++i) {
          const std::vector<double> p = RowOf(c, i);
          for (int j = 0; j < tokens; ++j) {
            double& high = highest[i / queries * tokens + j];
            high = std::max(high, p[j]);
          }
        }
        for (int b = 0; b < mask.rows(); ++b) {
          for (int j = 0; j < tokens; ++j) {
            const double high = highest[b * tokens + j];
            if (std::abs(high - threshold) < 1e-5 * threshold)
              continue;  // fp32 may round either way
            ASSERT_EQ(mask.Get(b, j), high > threshold) << tokens << " " << b << " " << j;
          }
        }
      }
    }
  }
}

TEST(PredictorsTest, CdfKeepsTheMassOfTheMeanQuery) {
  for (const int tokens : {1, 63, 130, 300}) {
    for (const double tau : {0.3, 0.9}) {
      const Case c = Draw(tokens, 6);
      const BlockMask mask = PredictKeys(c.input(), 64, {PredictorKind::kCdf, tau}, 2);
      for (int b = 0; b < mask.rows(); ++b) {
        const int end = std::min(tokens, (b + 1) * 64);
        std::vector<double> mean(kDim, 0);
        for (int i = b * 64; i < end; ++i) {
          for (int d = 0; d < kDim; ++d) mean[d] += c.q[i * kDim + d] / double(end - b * 64);
        }
        ExpectTopKeys(mask, b, Softmax(c, mean.data()), tau);
      }
    }
  }
}

TEST(PredictorsTest, OracleKeepsTheMassOfAllQueriesWithTheFewestKeys) {
  for (const int tokens : {1, 63, 130}) {
    const Case c = Draw(tokens, 7);
    const BlockMask mask = PredictKeys(c.input(), 64, {PredictorKind::kOracle, 0.8}, 2);
    double recall = 0;
    for (int b = 0; b < mask.rows(); ++b) {
      const int end = std::min(tokens, (b + 1) * 64);
      std::vector<double> mean(tokens, 0);
      for (int i = b * 64; i < end; ++i) {
        const std::vector<double> p = RowOf(c, i);
        for (int j = 0; j < tokens; ++j) mean[j] += p[j] / (end - b * 64);
        for (int j = 0; j < tokens; ++j) recall += mask.Get(b, j) ? p[j] : 0;
      }
      ExpectTopKeys(mask, b, mean, 0.8);
    }
    const Recall found = RecallOf(c.input(), mask, 64, 1000, 2);
    EXPECT_EQ(found.rows, tokens);
    EXPECT_NEAR(found.sum, recall, 1e-9 * tokens);
    EXPECT_GE(found.mean(), 0.8 - 1e-9);
  }
}

TEST(PredictorsTest, RecallOfSampledRowsIsBetweenNoneAndAll) {
  const Case c = Draw(200, 8);
  EXPECT_NEAR(RecallOf(c.input(), BlockMask::Full(2, 200), 128, 10, 1).mean(), 1, 1e-12);
  EXPECT_EQ(RecallOf(c.input(), BlockMask(2, 200), 128, 10, 1).mean(), 0);
  EXPECT_EQ(RecallOf(c.input(), BlockMask(2, 200), 128, 10, 1).rows, 10);
}

TEST(PredictorsTest, ListsDoNotDependOnTheNumberOfThreads) {
  const Case c = Draw(333, 9);
  for (const auto kind : {PredictorKind::kThreshold, PredictorKind::kCdf, PredictorKind::kOracle}) {
    EXPECT_EQ(PredictKeys(c.input(), 64, {kind, 0.5}, 1),
              PredictKeys(c.input(), 64, {kind, 0.5}, 5));
  }
  EXPECT_EQ(PredictKeys(c.input(), 64, {PredictorKind::kCdf, 0.7}, 2),
            kernels::KeysOfTopCdf(c.input(), 64, 0.7F));
}

TEST(PredictorsTest, FlagsAreReadOrRefused) {
  EXPECT_EQ(ParsePredictor("threshold:0.5").kind, PredictorKind::kThreshold);
  EXPECT_EQ(ParsePredictor("threshold:2").value, 2);
  EXPECT_EQ(ParsePredictor("cdf:0.9").kind, PredictorKind::kCdf);
  EXPECT_EQ(ParsePredictor("oracle:1").kind, PredictorKind::kOracle);
  EXPECT_EQ(ParsePredictor("sla:0.05,0.1").kind, PredictorKind::kSla);
  EXPECT_EQ(ParsePredictor("sla:0.05,0.1").negligible, 0.1);
  for (const std::string text :
       {"",         "cdf",       "cdf:",        "cdf:0",         "cdf:-1",
        "cdf:1.01", "cdf:nan",   "cdf:0.5x",    "threshold:inf", "threshold:0",
        "topk:0.5", "oracle:2",  ":0.5",        "cdf: 0.5",      "sla",
        "sla:0.1",  "sla:0,0.1", "sla:0.6,0.5", "sla:0.1,",      "sla:0.1,0.1,0.1"}) {
    testing::ExpectError(ErrorCode::kInvalidArgument, {"--predictor " + text, "expected"}, [&] {
      static_cast<void>(ParsePredictor(text));
    });
  }
  const Case c = Draw(4, 1);
  testing::ExpectError(ErrorCode::kInvalidArgument, {"threshold:4", "4 tokens"}, [&] {
    static_cast<void>(PredictKeys(c.input(), 64, {PredictorKind::kThreshold, 4}, 1));
  });
}

}  // namespace
}  // namespace dbsp::predict
