// SPDX-License-Identifier: Apache-2.0
// Attention beside NCCL on emulated GPUs: the order of work, the launches, and the values. The
// emulator runs one operation at a time, so the times have no meaning.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "build_config.h"
#include "profiler/run_trial.h"
#include "profiler/suites/pattern.h"
#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::profiler {
namespace {

using emulated_gpu::Schedule;
using testing::EnvironmentVariable;
using testing::FakeLibrary;
using ::testing::HasSubstr;

OverlapConfig Small(const std::string& op, int ranks, TimedSide timed, int margin = 0) {
  OverlapConfig config;
  config.attention.kernel = "sm80.block64x64.d64";
  config.attention.dtype = DType::kBf16;
  config.attention.heads = 2;
  config.attention.head_dim = 64;
  config.attention.block = {64, 64};
  config.attention.q_blocks = 2;
  config.attention.k_blocks = 3;
  config.attention.pattern = "uniform";
  config.attention.seed = 3;
  config.attention = WithDensity(config.attention, 0.4);
  config.exchange = {.op = op, .transport = "nccl", .ranks = ranks, .bytes_per_rank = 4800};
  config.sm_margin = margin;
  config.timed = timed;
  return config;
}

class OverlapNcclTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
    emulated_gpu::UseFakeNccl(FakeLibrary("libnccl.so.2"));
  }
  [[nodiscard]] static RunSettings Settings(const emulated_gpu::Options& machine,
                                            std::int64_t deadline_ns = 60'000'000'000) {
    emulated_gpu::Configure(machine);
    auto world = std::make_shared<NcclWorld>(CudaWorld());
    world->options.library = FakeLibrary("libnccl.so.2");
    world->options.deadline_ns = deadline_ns;
    return {.suite = "overlap",
            .ranks = machine.devices,
            .limits = {.warmups = 0, .min_samples = 2, .max_samples = 2},
            .nccl = world};
  }
};

TEST_F(OverlapNcclTest, EachKindOfWorkIsMeasuredBesideTheOtherUnderEverySchedule) {
  int turn = 0;
  for (const Schedule schedule : {Schedule::kRandom, Schedule::kEarly, Schedule::kLate}) {
    const RunSettings settings = Settings({.devices = 3, .sm_count = 4, .schedule = schedule});
    for (const TimedSide timed : {TimedSide::kAttention, TimedSide::kExchange}) {
      const OverlapConfig config =
          Small(turn % 3 == 0 ? "hop" : "alltoall", 3, timed, turn % 2 == 0 ? 0 : 2);
      ++turn;
      SCOPED_TRACE(KeyOf(config));
      const auto trial = RunTrial(config, settings);
      ASSERT_TRUE(trial.has_value());
      EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
      EXPECT_EQ(trial->method, "cuda.events.overlap");
      EXPECT_EQ(trial->samples_ns.size(), 2U);
      EXPECT_EQ(trial->alone_ns.size(), 2U);
    }
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST_F(OverlapNcclTest, ExchangesAreTimedByEventsUnderEverySchedule) {
  for (const Schedule schedule : {Schedule::kRandom, Schedule::kEarly, Schedule::kLate}) {
    RunSettings settings = Settings({.devices = 3, .schedule = schedule});
    for (const char* op : {"alltoall", "hop", "allgather", "reducescatter", "needed"}) {
      const ExchangeConfig config{
          .op = op, .transport = "nccl", .ranks = 3, .bytes_per_rank = 4800};
      const auto trial = RunTrial(config, settings);
      ASSERT_TRUE(trial.has_value());
      EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << op << ": " << trial->detail;
      EXPECT_EQ(trial->method, "nccl.events20");
      EXPECT_EQ(trial->samples_ns.size(), 2U);
    }
  }
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST_F(OverlapNcclTest, AKernelThatComputesWrongValuesIsWrong) {
  const RunSettings settings = Settings({.devices = 2});
  emulated_gpu::BreakAttention(1e30F);
  const auto trial = RunTrial(Small("hop", 2, TimedSide::kAttention), settings);
  EXPECT_EQ(trial->outcome, TrialOutcome::kWrong) << trial->detail;
  EXPECT_THAT(trial->detail, HasSubstr("rank "));
  EXPECT_TRUE(trial->samples_ns.empty() && trial->alone_ns.empty());
}

TEST_F(OverlapNcclTest, AHangFailsTheTrialAndTheNextOneRuns) {
  {
    const RunSettings settings = Settings({.devices = 2}, 300'000'000);
    const EnvironmentVariable hang("DBSP_FAKE_NCCL_HANG", "1");
    const auto trial = RunTrial(Small("alltoall", 2, TimedSide::kExchange), settings);
    EXPECT_EQ(trial->outcome, TrialOutcome::kFailed);
    EXPECT_THAT(trial->detail, HasSubstr("took more than 0.3 s"));
  }
  const RunSettings settings = Settings({.devices = 2});
  const auto trial = RunTrial(Small("alltoall", 2, TimedSide::kExchange), settings);
  EXPECT_EQ(trial->outcome, TrialOutcome::kOk) << trial->detail;
}

TEST_F(OverlapNcclTest, AnInterruptLeavesNoTrial) {
  RunSettings settings = Settings({.devices = 2});
  settings.interrupted = [] { return true; };
  EXPECT_FALSE(RunTrial(Small("hop", 2, TimedSide::kAttention), settings).has_value());
  EXPECT_EQ(emulated_gpu::BytesAlive(), 0U);
}

TEST_F(OverlapNcclTest, AConfigurationThatTheDevicesCannotRunIsReported) {
  const RunSettings settings = Settings({.devices = 2, .sm_count = 4});
  const auto tried = [&](const OverlapConfig& config, TrialOutcome outcome) {
    const auto trial = RunTrial(config, settings);
    EXPECT_EQ(trial->outcome, outcome) << trial->detail;
    return trial->detail;
  };
  EXPECT_THAT(tried(Small("hop", 3, TimedSide::kAttention), TrialOutcome::kUnavailable),
              HasSubstr("between 3 ranks need one GPU per rank; there are 2"));
  EXPECT_THAT(tried(Small("hop", 2, TimedSide::kAttention, 4), TrialOutcome::kFailed),
              HasSubstr("SM margin 4: the device has 4 SMs"));
  OverlapConfig config = Small("hop", 2, TimedSide::kAttention);
  config.attention.kernel = "sm70.block64x64.d64";
  EXPECT_THAT(tried(config, TrialOutcome::kFailed), HasSubstr("sm70.block64x64.d64"));
  config.attention.kernel = "sm80.block64x64.d128";
  EXPECT_THAT(tried(config, TrialOutcome::kFailed), HasSubstr("head_dim 128"));
}

}  // namespace
}  // namespace dbsp::profiler
