// SPDX-License-Identifier: Apache-2.0
// The whole dbsp-profile --device cuda on the emulated GPU: it measures a plan's shapes into a
// database, repeats the command, runs with a broken kernel, and gives the database to the tuner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "build_config.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/workload.h"
#include "db/database.h"
#include "planner/workload/mask_flag.h"
#include "profiler/profile_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/emulated_gpu/emulated_gpu.h"
#include "tests/profiler/small_workload.h"
#include "tuner/tune_tool.h"

namespace dbsp::profiler {
namespace {

using ::testing::HasSubstr;

struct Output {
  int code = -1;
  std::string out, err;
};

Output RunTool(std::vector<std::string> flags) {
  flags.insert(flags.begin(), "dbsp-profile");
  std::vector<const char*> argv;
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Output output;
  output.code = ProfileMain(static_cast<int>(argv.size()), argv.data());
  output.out = ::testing::internal::GetCapturedStdout();
  output.err = ::testing::internal::GetCapturedStderr();
  return output;
}

/// 2 heads of 64, 200 tokens: the last block is short.
class ProfileDeviceTest : public ::testing::Test {
 protected:
  ProfileDeviceTest() {
    Workload workload = testing::SmallWorkload();
    planner::ApplyMaskFlag("random:density=0.6,seed=3", workload);
    WriteWorkload(workload, folder_ / "w.json");
    tuner::TuneFlags flags;
    flags.workload = folder_ / "w.json";
    flags.cluster = "h200x1";
    flags.ranks = 1;
    flags.output = folder_ / "plan.json";
    EXPECT_EQ(tuner::RunTune(flags), 0);
    emulated_gpu::Configure({});
  }

  Output Refine(std::vector<std::string> more = {}) {
    std::vector<std::string> flags{"--db",
                                   (folder_ / "p.db").string(),
                                   "--device",
                                   "cuda",
                                   "--refine",
                                   (folder_ / "plan.json").string(),
                                   "--budget",
                                   "1500ms",
                                   "--json"};
    flags.insert(flags.end(), more.begin(), more.end());
    return RunTool(std::move(flags));
  }
  /// Repeats the command until no trial is left out.
  /// returns  the last run's document
  Json RefineToTheEnd(int code) {
    for (int run = 0; run < 20; ++run) {
      const Output output = Refine();
      EXPECT_EQ(output.code, code) << output.err << output.out;
      Json document = Json::parse(output.out);
      if (document["left_out"] == 0) return document;
    }
    ADD_FAILURE() << "not done after 20 runs";
    return {};
  }
  [[nodiscard]] db::Database Open() const {
    return db::Database::Open(folder_ / "p.db", db::OpenMode::kReadOnly);
  }

  dbsp::testing::TemporaryFolder folder_;
};

TEST_F(ProfileDeviceTest, APlansShapesAreMeasuredOnceAndTheTunerUsesThem) {
  const Json first = RefineToTheEnd(0);
  const db::Database database = Open();
  std::set<std::string> kernels;
  std::set<std::string> ops;
  for (const db::StoredTrial& stored : database.Trials()) {
    EXPECT_EQ(stored.trial.outcome, TrialOutcome::kOk) << stored.trial.detail;
    if (const auto* call = std::get_if<AttentionConfig>(&stored.trial.config)) {
      kernels.insert(call->kernel);
      EXPECT_EQ(stored.trial.method, "cuda.events.cold");
      EXPECT_EQ(call->dtype, DType::kBf16);
    } else {
      ops.insert(std::get<LocalConfig>(stored.trial.config).op);
      EXPECT_EQ(stored.trial.method, "cuda.events.batched");
    }
  }
  EXPECT_EQ(kernels, (std::set<std::string>{"sm80.block64x64.d64", "sm90.block64x64.d64"}));
  EXPECT_EQ(ops, std::set<std::string>{"pack"});
  for (const KernelVariant& kernel : database.Kernels()) {
    EXPECT_EQ(kernel.q_block, 64) << kernel.name;
    EXPECT_EQ(kernel.list, "blocks") << kernel.name;
  }
  EXPECT_EQ(database.Environments().front().provenance.device_kind, "cuda");
  EXPECT_EQ(database.Environments().front().provenance.device_name, "emulated GPU");

  EXPECT_EQ(database.Trials().size(), first["trials"].size()) << "every trial once";
  const Output again = Refine();
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(Json::parse(again.out)["reused"], first["trials"].size());
  EXPECT_EQ(Open().Trials().size(), database.Trials().size());

  tuner::TuneFlags flags;
  flags.workload = folder_ / "w.json";
  flags.database = folder_ / "p.db";
  flags.ranks = 1;
  flags.output = folder_ / "measured.json";
  ASSERT_EQ(tuner::RunTune(flags), 0);
  const Plan plan = ReadPlan(folder_ / "measured.json");
  EXPECT_EQ(plan.dtype, DType::kBf16);
  EXPECT_THAT(plan.strategies.front().kernel, HasSubstr("block64x64.d64"));
}

TEST_F(ProfileDeviceTest, ABrokenKernelFailsItsTrialsAndTheRunContinues) {
  emulated_gpu::BreakAttention(1e30F);
  const Output run = Refine();
  EXPECT_EQ(run.code, 1) << run.err;
  int wrong = 0;
  int right = 0;
  for (const db::StoredTrial& stored : Open().Trials()) {
    const bool attention = std::holds_alternative<AttentionConfig>(stored.trial.config);
    EXPECT_EQ(stored.trial.outcome, attention ? TrialOutcome::kWrong : TrialOutcome::kOk);
    EXPECT_EQ(stored.trial.samples_ns.empty(), attention);
    (attention ? wrong : right) += 1;
  }
  EXPECT_GT(wrong, 0);
  EXPECT_GT(right, 0);
  emulated_gpu::Configure({});  // whole again: what failed is measured, what was right is kept
  const Json document = RefineToTheEnd(0);
  std::map<TrialOutcome, int> outcomes;
  for (const db::StoredTrial& stored : Open().Trials()) ++outcomes[stored.trial.outcome];
  EXPECT_EQ(outcomes[TrialOutcome::kWrong], wrong);
  EXPECT_EQ(static_cast<std::size_t>(outcomes[TrialOutcome::kOk]), document["trials"].size());
}

TEST_F(ProfileDeviceTest, UnavailableCountersAreStoredWithTheReason) {
  const Output run = Refine({"--counters"});
  EXPECT_EQ(run.code, 0) << run.err;
  const db::Database database = Open();
  const auto counters = database.Counters();
  std::size_t attention = 0;
  for (const db::StoredTrial& stored : database.Trials()) {
    const bool expected = std::holds_alternative<AttentionConfig>(stored.trial.config);
    EXPECT_EQ(counters.contains(stored.id), expected);
    attention += expected ? 1 : 0;
  }
  ASSERT_GT(attention, 0U);
  for (const auto& [trial, record] : counters) {
    EXPECT_EQ(record.source, "none");
    EXPECT_NE(record.why, "");
  }
  const Output cpu = RunTool({"--db", (folder_ / "c.db").string(), "--counters"});
  EXPECT_EQ(cpu.code, 2);
  EXPECT_THAT(cpu.err, HasSubstr("--counters reads counters of attention on a GPU"));
}

TEST_F(ProfileDeviceTest, TheSuiteIsListedForTheGivenDevice) {
  for (const int arch : {80, 90}) {
    emulated_gpu::Configure({.arch = arch, .memory_bytes = std::size_t{1} << 34U});
    const Output list = RunTool({"--device", "cuda", "--list", "--json"});
    ASSERT_EQ(list.code, 0) << list.err;
    EXPECT_EQ(list.out.find("sm90.block128x128.d128") != std::string::npos, arch == 90);
    EXPECT_EQ(list.out.find("sm80.block128x128.d128") != std::string::npos, arch == 80);
    const Output dry = Refine({"--dry-run"});
    EXPECT_EQ(dry.code, 0);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "p.db"));
  }
  const Output some =
      RunTool({"--device", "cuda", "--list", "--json", "--kernel", "sm80.block64x64.d128"});
  EXPECT_EQ(some.code, 0) << some.err;
  EXPECT_THAT(some.out, HasSubstr("sm80.block64x64.d128"));
  EXPECT_EQ(some.out.find("sm90."), std::string::npos);
  const Output unknown = RunTool({"--device", "cuda", "--list", "--kernel", "sm70"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("--kernel sm70: no kernel"));
  const Output none = RunTool({"--device", "cuda:9", "--list"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("--device cuda:9: unavailable: no device 9; there are 8"));
  if (DBSP_HAVE_NCCL) {
    emulated_gpu::Configure({.devices = 2, .sm_count = 132, .memory_bytes = std::size_t{1} << 34U});
    const Output overlap =
        RunTool({"--device", "cuda", "--suite", "overlap", "--ranks", "2", "--list", "--json"});
    ASSERT_EQ(overlap.code, 0) << overlap.err;
    EXPECT_THAT(overlap.out, HasSubstr("SM margin 16"));
    EXPECT_THAT(overlap.out, HasSubstr("sm90."));
    const Output few =
        RunTool({"--device", "cuda", "--suite", "overlap", "--ranks", "3", "--list"});
    EXPECT_EQ(few.code, 3);
    EXPECT_THAT(few.err,
                HasSubstr("--ranks 3: exchanges over NCCL need one GPU per rank; there are 2"));
    const Output one = RunTool({"--device", "cuda:1", "--suite", "overlap", "--list"});
    EXPECT_EQ(one.code, 2);
    EXPECT_THAT(one.err, HasSubstr("--suite overlap uses devices 0 to --ranks - 1"));
  }
}

}  // namespace
}  // namespace dbsp::profiler
