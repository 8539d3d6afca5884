// SPDX-License-Identifier: Apache-2.0
#include "tuner/end_to_end.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "planner/workload/presets.h"
#include "tuner/cluster_costs.h"

namespace dbsp::tuner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Two steps of two layers; class 0 in step 0, class 1 in step 1.
SearchResult TwoSteps() {
  SearchResult result;
  result.ranks = 4;
  result.passes = 2;
  Candidate plain;
  plain.strategy.family = Family::kUlysses;
  Candidate bad = plain;
  bad.excluded = "no reason";
  result.candidates = {plain, bad};
  result.classes.resize(2);
  for (int step = 0; step < 2; ++step) {
    CellClass& cls = result.classes[step];
    cls.scores.resize(2);
    cls.scores[0].total_ns = step == 0 ? 1'000'000 : 3'000'000;
    for (int layer = 0; layer < 2; ++layer) result.cells.push_back({step, layer, step});
  }
  return result;
}

TEST(LayerFlopsTest, AreThoseOfTheModelsMatrices) {
  // Wan2.1 14B has a hidden size of 5120, a feed-forward size of 13824 and 512 text tokens.
  const double tokens = 75600;
  const double weights = 6.0 * 5120 * 5120 + 2.0 * 5120 * 13824;
  EXPECT_DOUBLE_EQ(LayerFlopsWithoutAttention(planner::ModelPreset("wan2.1-t2v-14b-720p")),
                   2 * weights * tokens + 4 * tokens * 512 * 5120);
  ModelShape own = planner::ModelPreset("wan2.1-t2v-14b-720p");
  own.name += " (changed)";
  EXPECT_TRUE(planner::LayerWidthsOf(own).known);
  own.name = "mine";
  EXPECT_FALSE(planner::LayerWidthsOf(own).known);
  EXPECT_DOUBLE_EQ(LayerFlopsWithoutAttention(own), 2 * 12.0 * 5120 * 5120 * tokens);
}

TEST(EstimateRestTest, TakesTheRateOfAttentionAndAllRanks) {
  const ClusterCosts costs(ParseCluster("h100x8"));
  planner::AttentionWork work;
  work.head_dim = 128;
  work.block = {128, 128};
  work.heads = 40;
  work.active_rows = 40 * 591;
  work.active_blocks = work.active_rows * 591;
  work.active_pairs = work.active_blocks * 128 * 128;
  const ModelShape model = planner::ModelPreset("wan2.1-t2v-14b-720p");
  const RestOfVideo one = EstimateRest(model, 1, work, costs);
  const RestOfVideo eight = EstimateRest(model, 8, work, costs);
  EXPECT_NEAR(static_cast<double>(one.cell_ns), 8.0 * static_cast<double>(eight.cell_ns), 8);
  const double flops = 2 * LayerFlopsWithoutAttention(model);
  EXPECT_NEAR(flops / static_cast<double>(one.cell_ns) / 1e3, 610, 10);
  EXPECT_THAT(eight.source, HasSubstr("divided evenly over 8 ranks"));
  EXPECT_THROW((void)EstimateRest(model, 1, {}, costs), Error);
}

TEST(SkippedStepsTest, AreAListOfRanges) {
  EXPECT_THAT(ParseSkippedSteps("", 5), IsEmpty());
  EXPECT_THAT(ParseSkippedSteps("4,1-2,2", 5), ElementsAre(1, 2, 4));
  for (const char* text : {",", "1,", "5", "2-1", "-1", "a", "1-", "0-4", "1,,2", " 1"}) {
    EXPECT_THROW((void)ParseSkippedSteps(text, 5), Error) << text;
  }
}

TEST(VideoTimeTest, AddsUpComputedCells) {
  const SearchResult result = TwoSteps();
  RestOfVideo rest{500'000, 7'000'000, "given", {}};
  const VideoTime all = VideoTimeOf(result, rest);
  EXPECT_DOUBLE_EQ(all.attention_ms, 16);  // 2 waves of 2 x 1 + 2 x 3 ms
  EXPECT_DOUBLE_EQ(all.rest_ms, 2);
  EXPECT_DOUBLE_EQ(all.total_ms(), 25);
  EXPECT_DOUBLE_EQ(all.attention_share(), 16.0 / 25);
  rest.skipped_steps = {1};
  EXPECT_DOUBLE_EQ(VideoTimeOf(result, rest).total_ms(), 4 + 1 + 7);
  EXPECT_EQ(VideoTimeOf(result, rest, 1), std::nullopt);
  EXPECT_THAT(VideoLines(result, rest, {}, 4), HasSubstr("plan: whole video 12.000 ms"));
  EXPECT_THAT(VideoLines(result, rest, {}, 4), HasSubstr("1 steps are skipped"));
  EXPECT_THAT(VideoLines(result, rest, {}, 80), HasSubstr("4 of 80 cells of the video 12.000"));
}

TEST(VideoTimeTest, APlanGivesTheSame) {
  Plan plan;
  plan.passes = 2;
  plan.strategies.resize(1);
  plan.predictions.resize(2);
  plan.predictions[0].total_ns = 1'000'000;
  plan.predictions[1].total_ns = 3'000'000;
  plan.cells = {{0, 0, 0, 0}, {0, 1, 0, 0}, {1, 0, 0, 1}, {1, 1, 0, 1}};
  Baseline baseline;
  baseline.times = {{2'000'000}, {4'000'000}};
  EXPECT_EQ(dbsp::VideoTimeOf(plan), std::nullopt);
  plan.rest = RestOfVideo{500'000, 7'000'000, "given", {}};
  EXPECT_DOUBLE_EQ(dbsp::VideoTimeOf(plan)->total_ms(), 25);
  EXPECT_DOUBLE_EQ(dbsp::VideoTimeOf(plan, baseline)->total_ms(), 24 + 2 + 7);
  plan.rest->skipped_steps = {0};
  EXPECT_DOUBLE_EQ(dbsp::VideoTimeOf(plan)->total_ms(), 12 + 1 + 7);
  EXPECT_EQ(dbsp::VideoTimeOf(plan, Baseline{}), std::nullopt);
}

}  // namespace
}  // namespace dbsp::tuner
