// SPDX-License-Identifier: Apache-2.0
#include "profiler/result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"

namespace dbsp::profiler {
namespace {

using ::testing::HasSubstr;

Result Measured(std::vector<std::int64_t> samples) {
  Result result{LocalConfig{"merge", 77, 32, {64, 64}}, ResultStatus::kMeasured};
  result.trial.emplace();
  result.trial->config = result.config;
  result.trial->method = "cpu.thread_time";
  result.trial->stop_reason = "budget";
  result.trial->detail = "a \"line\"";
  result.trial->samples_ns = std::move(samples);
  return result;
}

TEST(ResultTest, TheDocumentHasEveryStatusAndNullForInfiniteNumbers) {
  Result failed{LocalConfig{"pack", 128, 32, {64, 64}}, ResultStatus::kFailed};
  failed.trial.emplace();
  failed.trial->outcome = TrialOutcome::kFailed;
  failed.trial->detail = "no memory";
  const std::vector<Result> results{
      Measured({4'000'000, 2'000'000, 3'000'001, 3'000'000}),
      Measured({5}),
      failed,
      {LocalConfig{"merge", 5, 32, {64, 64}}, ResultStatus::kReused},
      {LocalConfig{"merge", 6, 32, {64, 64}}, ResultStatus::kLeftOut}};
  const Json document = ParseJson(
      ResultsJson({.database = "p.db", .suite = "quick", .ranks = 3, .interrupted = true}, results),
      "document");
  EXPECT_EQ(document["schema"], "dbsp.profile/1");
  EXPECT_EQ(document["ranks"], 3);
  EXPECT_EQ(document["interrupted"], true);
  EXPECT_EQ(document["measured"], 2);
  EXPECT_EQ(document["reused"], 1);
  EXPECT_EQ(document["failed"], 1);
  EXPECT_EQ(document["left_out"], 1);
  EXPECT_EQ(document["to_measure"], 0);
  const Json& trials = document["trials"];
  ASSERT_EQ(trials.size(), 5U);
  EXPECT_EQ(trials[0]["median_ns"], 3'000'000.5);
  EXPECT_EQ(trials[0]["detail"], "a \"line\"");
  EXPECT_TRUE(trials[0]["relative_error"].is_number());
  EXPECT_TRUE(trials[1]["relative_error"].is_null());
  EXPECT_EQ(trials[2]["outcome"], "failed");
  EXPECT_FALSE(trials[2].contains("median_ns"));
  EXPECT_EQ(trials[3]["status"], "reused");
  EXPECT_FALSE(trials[3].contains("samples_ns"));
}

TEST(ResultTest, TheTextCountsAndShowsTimesAndReasons) {
  const std::string text = ResultsText({Measured({1500, 1500, 1500})});
  EXPECT_THAT(text, HasSubstr("0.0015 ms  merge 77 rows"));
  EXPECT_THAT(text, HasSubstr("3 samples, stop: budget"));
  EXPECT_THAT(text, HasSubstr("1 trials: 1 measured, 0 reused, 0 failed, 0 left out"));
}

}  // namespace
}  // namespace dbsp::profiler
