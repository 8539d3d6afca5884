// SPDX-License-Identifier: Apache-2.0
// dbsp-profile --tune-kernels with kernels that crash, hang, exit and corrupt the answer: only
// their own trials fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json.h"
#include "core/workload.h"
#include "db/database.h"
#include "profiler/tune_kernels.h"
#include "test_paths.h"
#include "tests/db/fixtures.h"
#include "tests/runtime/background_process.h"

namespace dbsp::profiler {
namespace {

using testing::BackgroundProcess;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

const std::string kTool = DBSP_BINARY_DIR "/bin/profiler_bad_kernels_profile";

std::vector<std::string> Command(const std::string& db, const std::vector<std::string>& more) {
  std::vector<std::string> argv{kTool, "--tune-kernels", "--ranks", "1", "--deadline", "2s"};
  argv.insert(argv.end(), {"--db", db});
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

std::vector<Trial> TrialsOf(const std::string& db, const std::string& kernel) {
  std::vector<Trial> found;
  const auto stored = db::Database::Open(db, db::OpenMode::kReadOnly).Trials();
  for (const db::StoredTrial& trial : stored) {
    if (std::get<AttentionConfig>(trial.trial.config).kernel == kernel) {
      found.push_back(trial.trial);
    }
  }
  return found;
}

TEST(TuneKernelsToolTest, OnlyTrialsOfBadKernelsFailAndTheBestGoodKernelIsChosen) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  BackgroundProcess tool(Command(db, {"--budget", "3s", "--json"}));
  ASSERT_EQ(tool.Code(), 0) << tool.Err();
  const Json document = ParseJson(tool.Out(), "choices");
  EXPECT_EQ(document["schema"], "dbsp.kernel_choices/1");
  const Json& shape = document["shapes"][0];
  EXPECT_EQ(shape["status"], "chosen");
  EXPECT_EQ(shape["default"], "test.slow");
  EXPECT_EQ(shape["verdict"], "switched") << shape;
  EXPECT_EQ(shape["kernel"], "cpu.block_sparse");
  EXPECT_GT(shape["gain"], shape["noise"]);

  const auto expect = [&](const char* kernel, TrialOutcome outcome, const char* words) {
    const auto trials = TrialsOf(db, kernel);
    ASSERT_FALSE(trials.empty()) << kernel;
    EXPECT_EQ(trials[0].outcome, outcome) << kernel;
    EXPECT_THAT(trials[0].detail, HasSubstr(words)) << kernel;
  };
  expect("test.crash", TrialOutcome::kFailed, "its process was killed by signal 11");
  expect("test.exit", TrialOutcome::kFailed, "its process ended with exit code 3");
  expect("test.garbage", TrialOutcome::kFailed, "no valid answer: the worker's answer");
  expect("test.throw", TrialOutcome::kFailed, "the test's kernel refuses");
  expect("test.hang", TrialOutcome::kTimeout, "no answer within");
  EXPECT_EQ(TrialsOf(db, "test.hang").size(), 1U) << "tried again";
  const auto good = TrialsOf(db, "cpu.block_sparse");
  EXPECT_EQ(good[0].suite, "tune");
  EXPECT_EQ(good[0].method, "cpu.thread_time");
  EXPECT_EQ(good[1].method, "cpu.thread_time.turns");
  EXPECT_THAT(good[1].detail, HasSubstr("chosen over test.slow"));

  const auto tuned = [&](const std::string& columns) {
    return db::ShellText(db, "SELECT " + columns + " FROM v_tuned");
  };
  // The choice depends on the noise of this machine.
  EXPECT_EQ(tuned("kernel || ' over ' || default_kernel || ', ' || verdict"),
            shape["kernel"].get<std::string>() + " over test.slow, " +
                shape["verdict"].get<std::string>());
  EXPECT_NEAR(std::stod(tuned("gain_percent")), 100 * shape["gain"].get<double>(), 0.011);
  if (shape["noise"].is_number()) {
    EXPECT_NEAR(
        std::stod(tuned("coalesce(noise_percent, 0)")), 100 * shape["noise"].get<double>(), 0.051)
        << "the detail has one decimal";
  } else {
    EXPECT_EQ(tuned("noise_percent"), "Inf") << "one sample each";
  }
  EXPECT_EQ(tuned("count(*)"), "1");

  BackgroundProcess again(Command(db, {"--dry-run"}));
  EXPECT_EQ(again.Code(), 0) << again.Err();
  EXPECT_THAT(again.Out(), HasSubstr("reused  attention"));
  EXPECT_THAT(again.Out(), HasSubstr("cpu.block_sparse, chosen over test.slow"));
}

TEST(TuneKernelsToolTest, CtrlCEndsTheWorkerToo) {
  const TemporaryFolder folder;
  const std::string db = (folder / "p.db").string();
  BackgroundProcess tool(Command(db, {"--budget", "50s"}));
  ASSERT_TRUE(Eventually([&] { return !tool.Children().empty(); })) << tool.Err();
  const std::vector<pid_t> workers = tool.Children();
  tool.Signal(SIGINT);
  EXPECT_EQ(tool.Code(), -SIGINT) << tool.Err();
  for (const pid_t worker : workers) {
    EXPECT_TRUE(Eventually([&] { return ::kill(worker, 0) != 0; })) << worker;
  }
}

TEST(TuneKernelsToolTest, AVariableThatNamesNoSocketMakesNoWorker) {
  for (const char* value : {"0", "1", "99999", "-1", "none", ""}) {
    BackgroundProcess tool({kTool, "--version"}, {{"DBSP_TRIAL_WORKER", value}});
    EXPECT_EQ(tool.Code(), 0) << value;
    EXPECT_THAT(tool.Out(), HasSubstr("dbsp-profile")) << value;
  }
}

TEST(TuneKernelsToolTest, SuitesWithoutAttentionAreRefused) {
  BackgroundProcess exchanges(Command("p.db", {"--suite", "collectives"}));
  EXPECT_EQ(exchanges.Code(), 2);
  EXPECT_THAT(exchanges.Err(), HasSubstr("--tune-kernels measures attention on one device"));
}

}  // namespace
}  // namespace dbsp::profiler
