// SPDX-License-Identifier: Apache-2.0
// dbsp-profile --tune-kernels --device cuda with workers on emulated GPUs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "core/workload.h"
#include "db/database.h"
#include "planner/workload/mask_flag.h"
#include "profiler/tune_kernels.h"
#include "test_paths.h"
#include "tests/profiler/small_workload.h"
#include "tests/runtime/background_process.h"
#include "tests/runtime/fake_vendor.h"
#include "tuner/tune_tool.h"

namespace dbsp::profiler {
namespace {

using testing::BackgroundProcess;
using ::testing::HasSubstr;

/// A plan of 2 heads of 64 and 200 tokens, whose shapes are tuned.
class TuneKernelsDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Workload workload = testing::SmallWorkload();
    planner::ApplyMaskFlag("random:density=0.6,seed=3", workload);
    WriteWorkload(workload, folder_ / "w.json");
    tuner::TuneFlags flags;
    flags.workload = folder_ / "w.json";
    flags.cluster = "h200x1";
    flags.ranks = 1;
    flags.output = folder_ / "plan.json";
    ASSERT_EQ(tuner::RunTune(flags), 0);
  }
  /// Tunes one shape, which uses the whole budget.
  Json Tune(std::map<std::string, std::string> variables, int code) {
    variables.emplace("LD_LIBRARY_PATH", DBSP_BINARY_DIR "/fake_vendor/processes");
    BackgroundProcess tool({DBSP_BINARY_DIR "/bin/profiler_emulated_profile",
                            "--tune-kernels",
                            "--device",
                            "cuda",
                            "--refine",
                            (folder_ / "plan.json").string(),
                            "--db",
                            Database(),
                            "--budget",
                            "100ms",
                            "--json"},
                           variables);
    EXPECT_EQ(tool.Code(), code) << tool.Err();
    return ParseJson(tool.Out(), "choices")["shapes"][0];
  }
  [[nodiscard]] std::string Database() const { return (folder_ / "p.db").string(); }

  testing::TemporaryFolder folder_;
};

TEST_F(TuneKernelsDeviceTest, KernelsOfTheDeviceAreComparedInAFinal) {
  const Json shape = Tune({}, 0);
  EXPECT_EQ(shape["status"], "chosen") << shape;
  EXPECT_THAT(shape["candidates"], ::testing::Contains("sm90.block64x64.d64"));
  EXPECT_THAT(shape["candidates"], ::testing::Contains("sm80.block64x64.d64"));
  int finals = 0;
  const auto trials = db::Database::Open(Database(), db::OpenMode::kReadOnly).Trials();
  for (const db::StoredTrial& stored : trials) {
    EXPECT_EQ(stored.trial.outcome, TrialOutcome::kOk) << stored.trial.detail;
    finals += stored.trial.method == "cuda.events.cold.turns";
  }
  EXPECT_EQ(finals, 2);
}

TEST_F(TuneKernelsDeviceTest, AKernelThatIsLeftOutIsNeitherTunedNorRun) {
  BackgroundProcess tool({DBSP_BINARY_DIR "/bin/profiler_emulated_profile",
                          "--tune-kernels",
                          "--device",
                          "cuda",
                          "--refine",
                          (folder_ / "plan.json").string(),
                          "--db",
                          Database(),
                          "--budget",
                          "100ms",
                          "--json"},
                         {{"LD_LIBRARY_PATH", DBSP_BINARY_DIR "/fake_vendor/processes"},
                          {"DBSP_EMULATED_FAULT", "sm90.block64x64.d64"},
                          {"DBSP_SKIP_KERNELS", "sm90.block64x64.d64"}});
  EXPECT_EQ(tool.Code(), 0) << tool.Err();
  EXPECT_THAT(tool.Err(), HasSubstr("leaves out these kernels: sm90.block64x64.d64"));
  EXPECT_THAT(tool.Out(), ::testing::Not(HasSubstr("sm90.block64x64.d64")));
  for (const db::StoredTrial& stored :
       db::Database::Open(Database(), db::OpenMode::kReadOnly).Trials()) {
    EXPECT_EQ(stored.trial.outcome, TrialOutcome::kOk) << stored.trial.detail;
  }
}

TEST_F(TuneKernelsDeviceTest, KernelsThatComputeWrongValuesAreNeverChosen) {
  const Json shape = Tune({{"DBSP_EMULATED_BREAK", "1"}}, 1);
  EXPECT_EQ(shape["verdict"], "none works") << shape;
  const auto trials = db::Database::Open(Database(), db::OpenMode::kReadOnly).Trials();
  EXPECT_EQ(trials.size(), 2U);
  for (const db::StoredTrial& stored : trials) {
    EXPECT_EQ(stored.trial.outcome, TrialOutcome::kWrong) << stored.trial.detail;
    EXPECT_TRUE(stored.trial.samples_ns.empty());
  }
}

}  // namespace
}  // namespace dbsp::profiler
