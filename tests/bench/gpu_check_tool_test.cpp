// SPDX-License-Identifier: Apache-2.0
// gpu_check as it is run, on a machine without a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/cli/run_tool.h"
#include "tests/runtime/environment_variable.h"
#include "tests/runtime/fake_vendor.h"

namespace {

using dbsp::testing::RunTool;
using ::testing::HasSubstr;

// A driver that sees no device stands for a machine without one, wherever this test runs.
class GpuCheckToolTest : public ::testing::Test {
  dbsp::testing::EnvironmentVariable path_ =
      dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
};

TEST_F(GpuCheckToolTest, EveryPartSaysUnavailableInWords) {
  for (const char* part : {"correct", "small", "speed", "curve", "serve"}) {
    const dbsp::testing::TemporaryFolder folder;
    const auto run = RunTool("gpu_check", {part, "--out", (folder / "out").string()});
    EXPECT_EQ(run.exit_code, 3) << part;
    EXPECT_THAT(run.err, HasSubstr("gpu_check: unavailable: ")) << part;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "out")) << "no results, no folder";
  }
}

TEST_F(GpuCheckToolTest, KernelsAreListedAllTheSame) {
  const auto run = RunTool("gpu_check", {"list"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.out, HasSubstr("sm90.block128x128.d128"));
}

TEST_F(GpuCheckToolTest, UsageIsExitCodeTwo) {
  EXPECT_EQ(RunTool("gpu_check", {}).exit_code, 2);
  EXPECT_EQ(RunTool("gpu_check", {"speed", "--budget", "x"}).exit_code, 2);
  EXPECT_EQ(RunTool("gpu_check", {"--help"}).exit_code, 0);
}

}  // namespace
