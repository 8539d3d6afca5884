// SPDX-License-Identifier: Apache-2.0
// dbsp-replay --device cuda on emulated GPUs: plan file, printed summary and stored records.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "planner/workload/mask_source.h"
#include "replay/replay.h"
#include "replay/replay_tool.h"
#include "replay/summary.h"
#include "tests/core/temporary_folder.h"
#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/replay/plans.h"

namespace dbsp::replay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// 2 heads of 64 on a 2 x 7 x 9 grid with 11 text tokens, blocks 64 x 64.
Workload GpuWorkload() {
  Workload workload = testing::SmallWorkload(1, 2);
  workload.model.heads = 2;
  workload.model.head_dim = 64;
  workload.block = {64, 64};
  return workload;
}

struct Result {
  int code = 0;
  std::string out;
  std::string err;
};

class GpuToolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    emulated_gpu::Configure({});
    Plan plan = testing::SmallPlan(GpuWorkload(), Family::kRing, {1, 2});
    plan.dtype = DType::kBf16;
    for (Prediction& prediction : plan.predictions) {
      prediction.bytes_per_rank /= 2;
      for (Segment& segment : prediction.segments) segment.bytes /= 2;
    }
    Write(plan);
  }
  void Write(const Plan& plan) { WritePlan(plan, plan_path()); }
  [[nodiscard]] std::string plan_path() const { return (folder_ / "plan.json").string(); }
  [[nodiscard]] std::string Path(const char* name) const { return (folder_ / name).string(); }

  Result Run(const std::vector<std::string>& flags) const {
    std::vector<std::string> words = {"dbsp-replay", plan_path(), "--device", "cuda"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Result result;
    result.code = ReplayMain(static_cast<int>(argv.size()), argv.data());
    result.out = ::testing::internal::GetCapturedStdout();
    result.err = ::testing::internal::GetCapturedStderr();
    return result;
  }

  dbsp::testing::TemporaryFolder folder_;
};

TEST_F(GpuToolTest, VerifiesStoresAndTraces) {
  const Result run =
      Run({"--verify", "--repeat", "1", "--db", Path("r.db"), "--trace", Path("trace")});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out,
              AllOf(HasSubstr("verified    passed"),
                    HasSubstr("all rows against an unsplit run: relative error"),
                    HasSubstr("kernel      sm90.block64x64.d64"),
                    HasSubstr("composed from the plan's predictions"),
                    HasSubstr("replayed on emulated GPU"),
                    HasSubstr("one pass, bf16")));
  EXPECT_TRUE(std::filesystem::exists(Path("r.db")));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "trace" / "rank1.json"));
}

TEST_F(GpuToolTest, JsonNamesTypeKernelAndUnsplitError) {
  const Result run = Run({"--verify", "--json", "--graph", "on", "--repeat", "2"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = ParseJson(run.out, "replay");
  EXPECT_EQ(json["dtype"], "bf16");
  EXPECT_EQ(json["machine"]["device_kind"], "cuda");
  EXPECT_EQ(json["cells"][0]["kernel"], "sm90.block64x64.d64");
  EXPECT_EQ(json["cells"][0]["graph_runs"], 2);
  EXPECT_TRUE(json["cells"][0]["verification"]["unsplit_relative_error"].is_number());
}

TEST_F(GpuToolTest, WithoutCuptiTheReplayIsWholeAndOneLineSaysSo) {
  const Plan plan = ReadPlan(plan_path());
  const auto masks = planner::OpenMasks(GpuWorkload());
  ReplayOptions options;
  options.device = {runtime::DeviceKind::kCuda, 0};
  options.verify = true;
  options.limits = LimitsOf(options.device);
  options.repeats = {.warmups = 0, .runs = 1};
  options.cupti.emplace().library = "/nowhere/libcupti.so.13";
  const ReplayOutcome outcome = Replay(plan, *masks, options);
  EXPECT_TRUE(outcome.record.passed);
  const std::string text = SummaryText(plan, outcome, options, {});
  EXPECT_THAT(text, HasSubstr("cupti       unavailable: "));
  EXPECT_THAT(text, HasSubstr("verified    passed"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("tracing costs")));
  EXPECT_TRUE(
      ParseJson(ReplayJson(plan, outcome, options, {}), "replay")["trace_overhead"].is_null());
}

TEST_F(GpuToolTest, SaysWhichKernelStandsInForACpuPlans) {
  Plan plan = ReadPlan(plan_path());
  for (Strategy& strategy : plan.strategies) strategy.kernel = "cpu.block_sparse";
  Write(plan);
  EXPECT_THAT(Run({"--repeat", "1"}).out,
              HasSubstr("kernel      sm90.block64x64.d64 in place of the plan's cpu.block_sparse"));
  EXPECT_THAT(Run({"--repeat", "1", "--kernel", "sm80.block64x64.d64"}).out,
              HasSubstr("sm80.block64x64.d64 in place of"));
}

TEST_F(GpuToolTest, AWrongKernelEndsWithOneAndNamesTheRow) {
  emulated_gpu::BreakAttention(9.0F);
  const Result run = Run({"--verify", "--repeat", "1", "--db", Path("r.db")});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("verification failed"), HasSubstr("head")));
  EXPECT_TRUE(std::filesystem::exists(Path("r.db"))) << "a failed verification is stored";
}

TEST_F(GpuToolTest, WhatDoesNotFitIsOneLine) {
  Result run = Run({"--transport", "threads"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("--transport threads: unavailable"));
  run = Run({"--kernel", "sm90.block128x128.d128"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("does not support 64x64 blocks of head_dim 64"));
  emulated_gpu::Configure({.memory_bytes = 50'000});
  run = Run({"--db", Path("r.db")});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("GB of device memory"));
  emulated_gpu::Configure({.devices = 1});
  run = Run({"--transport", "nccl"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("2 ranks need one GPU each"));
}

}  // namespace
}  // namespace dbsp::replay
