// SPDX-License-Identifier: Apache-2.0
#include "profiler/run_trial.h"

#include <gtest/gtest.h>

#include "kernels/attention.h"
#include "profiler/suites/suite.h"

namespace dbsp::profiler {
namespace {

AttentionConfig SmallAttention() {
  AttentionConfig attention;
  attention.kernel = kernels::FindCpuAttention("").name;
  attention.heads = 2;
  attention.head_dim = 16;
  attention.block = {8, 16};
  attention.q_blocks = attention.k_blocks = 3;
  attention.pattern = "uniform";
  attention.active_blocks = 7;
  return attention;
}

RunSettings Few(int ranks) {
  return {.ranks = ranks, .limits = {.min_samples = 3, .max_samples = 4}};
}

TEST(RunTrialTest, EveryCategoryIsMeasuredAlsoInConcurrentGroups) {
  std::vector<TrialConfig> configs{SmallAttention()};
  for (const char* op : {"alltoall", "hop", "allgather"}) {
    configs.emplace_back(ExchangeConfig{op, "threads", 3, 4000, op[1] == 'l' ? 1.4 : 1.0});
  }
  configs.emplace_back(LocalConfig{"pack", 128 * 100, 32, {64, 64}});
  configs.emplace_back(LocalConfig{"merge", 77, 32, {64, 64}});
  configs.emplace_back(
      LocalConfig{"key_lists", 3, 16, {64, 1}, ListSize{.k_tokens = 100, .keys = 90}});
  configs.emplace_back(LocalConfig{"threshold_keys", 2, 16, {64, 1}, ListSize{.k_tokens = 100}});
  configs.emplace_back(LocalConfig{"top_cdf_keys", 2, 16, {64, 1}, ListSize{.k_tokens = 1}});
  for (const int ranks : {1, 3, 7}) {
    for (const TrialConfig& config : configs) {
      SCOPED_TRACE(Describe(config) + " of " + std::to_string(ranks));
      RunSettings settings = Few(ranks);
      const auto trial = RunTrial(config, settings);
      ASSERT_TRUE(trial.has_value());
      EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
      EXPECT_GE(trial->samples_ns.size(), 3U);
      EXPECT_EQ(trial->method, MethodOf(config, ranks));
      settings.interrupted = [] { return true; };
      EXPECT_FALSE(RunTrial(config, settings).has_value());
    }
  }
}

TEST(RunTrialTest, ListsOfUnknownSizeAreAFailedTrial) {
  for (const auto& [config, why] :
       {std::pair{LocalConfig{"key_lists", 3, 16, {64, 1}, ListSize{.k_tokens = 100}}, "size"},
        std::pair{LocalConfig{"key_lists", 3, 16, {64, 1}}, "size"},
        std::pair{LocalConfig{"top_cdf_keys", 0, 16, {64, 1}, ListSize{.k_tokens = 100}}, "row"}}) {
    const auto trial = RunTrial(config, Few(1));
    ASSERT_TRUE(trial);
    EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
    EXPECT_NE(trial->detail.find(why), std::string::npos) << trial->detail;
  }
}

TEST(RunTrialTest, TheMethodNamesTheConcurrentGroups) {
  const ExchangeConfig hop{"hop", "threads", 3, 4000, 1.0};
  EXPECT_EQ(MethodOf(hop, 1), "cpu.wall");
  EXPECT_EQ(MethodOf(hop, 3), "cpu.wall");
  EXPECT_EQ(MethodOf(hop, 5), "cpu.wall");
  EXPECT_EQ(MethodOf(hop, 6), "cpu.wall.busy6");
  EXPECT_EQ(MethodOf(hop, 8), "cpu.wall.busy6");
  EXPECT_EQ(MethodOf(ExchangeConfig{"allgather", "threads", 3, 4000, 1.0}, 6), "cpu.wall");
  EXPECT_EQ(MethodOf(SmallAttention(), 6), "cpu.thread_time");
  EXPECT_EQ(MethodOf(LocalConfig{"pack", 128, 32, {64, 64}}, 6), "cpu.thread_time");
}

TEST(RunTrialTest, ShortCallsAreAveragedAndReported) {
  const auto trial = RunTrial(LocalConfig{"pack", 128, 32, {64, 64}}, Few(1));
  ASSERT_TRUE(trial.has_value());
  EXPECT_NE(trial->detail.find("each sample is the mean of "), std::string::npos) << trial->detail;
  for (const std::int64_t sample : trial->samples_ns) EXPECT_LT(sample, kShortestSampleNs);
}

TEST(RunTrialTest, ARunPastItsDeadlineStillTakesOneSample) {
  RunSettings settings = Few(1);
  settings.limits.deadline_ns = 0;
  const auto trial = RunTrial(SmallAttention(), settings);
  ASSERT_TRUE(trial.has_value());
  EXPECT_EQ(trial->samples_ns.size(), 1U);
  EXPECT_EQ(trial->stop_reason, "run_budget");
}

TEST(RunTrialTest, AConfigurationThatCannotRunIsAFailedTrialWithItsReason) {
  AttentionConfig attention = SmallAttention();
  attention.kernel = "cpu.none";
  const auto trial = RunTrial(attention, {});
  ASSERT_TRUE(trial.has_value());
  EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
  EXPECT_NE(trial->detail.find("cpu.none"), std::string::npos);
}

}  // namespace
}  // namespace dbsp::profiler
