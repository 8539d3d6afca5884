// SPDX-License-Identifier: Apache-2.0
#include "tuner/gather_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/tuner/synthetic_trials.h"
#include "tuner/cost_model.h"

namespace dbsp::tuner {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr WideFitRow kTruth{20'000, 3'000, 250, 40, 90, 0};

double Time(const GatherWork& work) {
  return kTruth[0] * static_cast<double>(work.heads) + kTruth[1] * static_cast<double>(work.rows) +
         kTruth[2] * static_cast<double>(work.keys) +
         kTruth[3] * static_cast<double>(work.lists.padded_keys - work.keys) +
         kTruth[4] * static_cast<double>(work.lists.runs);
}

/// Equal lists of `keys` keys in runs of `run`.
GatherWork WorkOf(int heads, int rows, int keys, int run) {
  const std::int64_t lists = std::int64_t{heads} * rows;
  return {heads,
          lists,
          lists * keys,
          {.step = 128,
           .padded_keys = lists * PaddedTo(keys, 128),
           .max_keys = keys,
           .runs = lists * ((keys + run - 1) / run)}};
}

AttentionConfig ConfigOf(const GatherWork& work, int queries, int k_tokens) {
  AttentionConfig config;
  config.kernel = "cpu.gather";
  config.heads = static_cast<int>(work.heads);
  config.head_dim = 128;
  config.block = {queries, 1};
  config.q_blocks = static_cast<int>(work.rows / work.heads);
  config.k_blocks = k_tokens;
  config.pattern = "uniform";
  config.active_rows = work.rows;
  config.active_blocks = work.keys;
  config.lists = work.lists;
  return config;
}

std::vector<GatherWork> SomeWorks() {
  std::vector<GatherWork> works;
  for (const int heads : {1, 2}) {
    for (const int keys : {200, 700, 1300, 2049}) {
      for (const int run : {1, 8, 64}) works.push_back(WorkOf(heads, 5 + heads, keys, run));
    }
  }
  return works;
}

SyntheticTrials Measured(double noise, unsigned seed) {
  SyntheticTrials made(noise, seed);
  for (const GatherWork& work : SomeWorks()) made.Add(ConfigOf(work, 64, 4096), Time(work));
  return made;
}

std::vector<GatherFit> FitOf(const SyntheticTrials& made, std::vector<std::string>& remarks) {
  const std::vector<db::StoredEnvironment> environments{made.environment};
  const TrialSelection selection =
      SelectTrials(made.trials, environments, std::nullopt, "p.db", "dbsp-profile");
  return FitGathers(selection, 128, DType::kF32, remarks);
}

TEST(GatherFitTest, RecoversTheTimeOfListsThatItHasNotSeen) {
  std::vector<std::string> remarks;
  const auto fits = FitOf(Measured(0, 1), remarks);
  ASSERT_EQ(fits.size(), 1U);
  const GatherFit& fit = fits.front();
  EXPECT_EQ(fit.kernel, "cpu.gather");
  EXPECT_EQ(fit.queries, 64);
  EXPECT_EQ(fit.step, 128);
  EXPECT_EQ(fit.trials, SomeWorks().size());
  EXPECT_LT(fit.median_error, 1e-3);
  for (const int keys : {300, 1000, 1900}) {
    const GatherWork work = WorkOf(1, 40, keys, 5);
    EXPECT_TRUE(fit.Covers(work));
    EXPECT_NEAR(fit.At(work).ns, Time(work), 1e-3 * Time(work)) << keys;
    EXPECT_LE(fit.At(work).low_ns, Time(work));
    EXPECT_GE(fit.At(work).high_ns, Time(work));
  }
  EXPECT_THAT(remarks, Contains(HasSubstr("gather cpu.gather 64x1 d128: 2")));
  EXPECT_THAT(remarks, Contains(HasSubstr("ns per padding key + ")));
  EXPECT_THAT(remarks, Contains(HasSubstr(" ns per run; 24 trials, held-out error ")));
}

/// The bound is for 90% of new points, so with noise of 5% most points lie inside.
TEST(GatherFitTest, TheHeldOutErrorBoundsNewPoints) {
  std::vector<std::string> remarks;
  const auto fits = FitOf(Measured(0.05, 3), remarks);
  ASSERT_EQ(fits.size(), 1U);
  EXPECT_GT(fits.front().error_bound, 0.02);
  EXPECT_LT(fits.front().error_bound, 0.25);
  int inside = 0;
  int all = 0;
  for (const int keys : {250, 600, 1100, 1500, 2000}) {
    for (const int run : {2, 16}) {
      const GatherWork work = WorkOf(2, 6, keys, run);
      const planner::Estimate estimate = fits.front().At(work);
      inside += Time(work) >= estimate.low_ns && Time(work) <= estimate.high_ns ? 1 : 0;
      ++all;
    }
  }
  EXPECT_GE(inside, all - 1);
}

TEST(GatherFitTest, LongerListsThanMeasuredHaveTwiceTheInterval) {
  std::vector<std::string> remarks;
  const GatherFit fit = FitOf(Measured(0.02, 3), remarks).front();
  const GatherWork inside = WorkOf(1, 4, 2000, 1);
  const GatherWork outside = WorkOf(1, 4, 4000, 1);
  EXPECT_TRUE(fit.Covers(inside));
  EXPECT_FALSE(fit.Covers(outside));
  const auto width = [&](const GatherWork& work) {
    const planner::Estimate estimate = fit.At(work);
    return (estimate.high_ns - estimate.ns) / estimate.ns;
  };
  EXPECT_NEAR(width(outside), 2 * width(inside), 1e-9);
  EXPECT_EQ(fit.At(WorkOf(1, 4, 0, 1)).ns, 0);
}

TEST(GatherFitTest, TooFewTrialsAreSaid) {
  SyntheticTrials made;
  const auto works = SomeWorks();
  for (std::size_t i = 0; i < 7; ++i) made.Add(ConfigOf(works[i], 128, 4096), Time(works[i]));
  std::vector<std::string> remarks;
  EXPECT_TRUE(FitOf(made, remarks).empty());
  EXPECT_THAT(remarks,
              Contains("gather cpu.gather 128x1 d128: 7 trials, at least 8 needed for a fit"));
}

TEST(GatherFitTest, TrialsWithoutStatisticsOfListsAreNotUsed) {
  SyntheticTrials made;
  for (const GatherWork& work : SomeWorks()) {
    AttentionConfig config = ConfigOf(work, 64, 4096);
    config.lists.reset();
    made.Add(config, Time(work));
  }
  std::vector<std::string> remarks;
  EXPECT_TRUE(FitOf(made, remarks).empty());
  EXPECT_TRUE(remarks.empty());
}

/// The work of a head from its lists equals a count of every key.
TEST(GatherFitTest, TheWorkOfAHeadIsCountedFromItsLists) {
  std::mt19937 random(4);
  for (const int step : {64, 128}) {
    std::vector<std::int32_t> begin{0};
    std::vector<std::int32_t> keys;
    std::int64_t rows = 0;
    std::int64_t runs = 0;
    std::int64_t padded = 0;
    std::int64_t most = 0;
    for (int row = 0; row < 30; ++row) {
      const unsigned percent = random() % 4 * 33;
      int last = -2;
      std::int64_t count = 0;
      for (int key = 0; key < 400; ++key) {
        if (random() % 100 >= percent) continue;
        keys.push_back(key);
        runs += key != last + 1 ? 1 : 0;
        last = key;
        ++count;
      }
      begin.push_back(static_cast<std::int32_t>(keys.size()));
      rows += count > 0 ? 1 : 0;
      most = std::max(most, count);
      while (count % step != 0) ++count;
      padded += count;
    }
    const GatherWork work = WorkOfHead(begin, keys, step);
    EXPECT_EQ(work.heads, 1);
    EXPECT_EQ(work.rows, rows);
    EXPECT_EQ(work.keys, static_cast<std::int64_t>(keys.size()));
    EXPECT_EQ(
        work.lists,
        (ListStatistics{.step = step, .padded_keys = padded, .max_keys = most, .runs = runs}));
  }
  EXPECT_EQ(WorkOfHead(std::vector<std::int32_t>{0}, {}, 64).rows, 0);
}

TEST(GatherFitTest, ListMakingIsFittedPerOp) {
  SyntheticTrials made;
  for (const int k_tokens : {1000, 4000}) {
    for (const int queries : {64, 128}) {
      for (const int share : {1, 2}) {
        const std::int64_t keys = 50LL * k_tokens * share / 4;
        made.Add(LocalConfig{"key_lists", 50, 128, {queries, 1}, ListSize{k_tokens, keys}},
                 50 * 100 + 0.02 * 50 * k_tokens + 0.5 * static_cast<double>(keys));
      }
      made.Add(LocalConfig{"threshold_keys", 2, 128, {queries, 1}, ListSize{k_tokens}},
               2.0 * queries * k_tokens * 9);
    }
  }
  const std::vector<db::StoredEnvironment> environments{made.environment};
  const TrialSelection selection =
      SelectTrials(made.trials, environments, std::nullopt, "p.db", "dbsp-profile");
  const auto lists = FitLists(selection, "key_lists", 128);
  ASSERT_TRUE(lists);
  const ListMaking making{.rows = 100, .queries = 64, .k_tokens = 3000, .keys = 90'000};
  EXPECT_NEAR(lists->At(making).ns, 100 * 100 + 0.02 * 300'000 + 0.5 * 90'000, 600);
  const auto threshold = FitLists(selection, "threshold_keys", 128);
  ASSERT_TRUE(threshold);
  EXPECT_NEAR(threshold->At(making).ns, 100.0 * 64 * 3000 * 9, 0.01 * 100 * 64 * 3000 * 9);
  EXPECT_FALSE(FitLists(selection, "top_cdf_keys", 128)) << "not measured";
  EXPECT_FALSE(FitLists(selection, "key_lists", 64)) << "another head_dim";
}

TEST(GatherFitTest, ListsArePaidOverTheStepsThatUseThem) {
  const planner::Estimate gather{600, 500, 700};
  const planner::Estimate lists{500, 400, 600};
  const planner::Estimate blocks{1000, 900, 1100};
  EXPECT_FALSE(GatherIsFaster(gather, lists, 1, blocks));
  EXPECT_TRUE(GatherIsFaster(gather, lists, 2, blocks));
}

/// A kernel for lists of single keys is never scaled to blocks of several keys.
TEST(GatherFitTest, BlocksAreNotPricedWithAKernelForKeys) {
  SyntheticTrials made = Measured(0, 1);
  made.head_dim = 128;
  made.block = {128, 128};
  made.AddAll({2});
  FitRequest request;
  request.database = "p.db";
  request.head_dim = 128;
  request.block = {64, 64};
  request.typical.heads = 2;
  request.typical.active_rows = 100;
  request.typical.active_blocks = 1000;
  request.kernels = {{.name = "cpu.gather", .list = "keys", .k_block = 1}};
  request.allow_scaled = true;
  const FittedCosts costs(made.trials, std::vector{made.environment}, request);
  EXPECT_EQ(costs.kernel(), "cpu.block_sparse");
  EXPECT_THAT(costs.Remarks(), Not(Contains(HasSubstr("cpu.gather is scaled"))));
  ASSERT_EQ(costs.gather_fits().size(), 1U);
  EXPECT_EQ(costs.gather_fits().front().queries, 64);
}

}  // namespace
}  // namespace dbsp::tuner
