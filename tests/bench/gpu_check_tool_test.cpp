// SPDX-License-Identifier: Apache-2.0
// gpu_check and scripts/gpu-check on a machine without a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/runtime/environment_variable.h"
#include "tests/runtime/fake_vendor.h"

namespace {

using dbsp::testing::RunTool;
using ::testing::HasSubstr;

// The tests use the driver of tests/runtime/fake_vendor, which reports no device. They therefore
// see no GPU, even on a machine that has one.
class GpuCheckToolTest : public ::testing::Test {
  dbsp::testing::EnvironmentVariable path_ =
      dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
};

TEST_F(GpuCheckToolTest, EveryPartIsUnavailableWithAMessage) {
  for (const char* part : {"correct", "small", "speed", "curve", "repeat", "serve"}) {
    const dbsp::testing::TemporaryFolder folder;
    const auto run = RunTool("gpu_check", {part, "--out", (folder / "out").string()});
    EXPECT_EQ(run.exit_code, 3) << part;
    EXPECT_THAT(run.err, HasSubstr("gpu_check: error: unavailable: ")) << part;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "out"))
        << "a part without results must not make the folder";
  }
}

TEST_F(GpuCheckToolTest, TheKernelsAreListedWithoutADevice) {
  const auto run = RunTool("gpu_check", {"list"});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.out, HasSubstr("sm90.block128x128.d128"));
}

TEST_F(GpuCheckToolTest, UsageIsExitCodeTwo) {
  EXPECT_EQ(RunTool("gpu_check", {}).exit_code, 2);
  EXPECT_EQ(RunTool("gpu_check", {"speed", "--budget", "x"}).exit_code, 2);
  const auto unknown = RunTool("gpu_check", {"speed", "--filtre", "x"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("nearest known: '--filter'"));
}

TEST_F(GpuCheckToolTest, HelpEndsWithExamplesAndTheVersionNamesTheTool) {
  const auto help = RunTool("gpu_check", {"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  gpu_check list\n  gpu_check "));
  const auto version = RunTool("gpu_check", {"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, ::testing::StartsWith("gpu_check "));
}

// The messages of the script itself. It looks for a driver before it builds anything.
class GpuCheckScriptTest : public ::testing::Test {
 protected:
  static dbsp::testing::ToolResult Run(const std::string& arguments) {
    const dbsp::testing::TemporaryFolder folder;
    const std::string command = DBSP_SOURCE_DIR "/scripts/gpu-check " + arguments + " --out " +
                                (folder / "out").string() + " </dev/null >" +
                                (folder / "words").string() + " 2>&1";
    const int status = std::system(command.c_str());
    dbsp::testing::ToolResult result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    result.out = dbsp::testing::FileText(folder / "words");
    return result;
  }
};

TEST_F(GpuCheckScriptTest, WithoutADriverItIsUnavailable) {
  if (std::system("ldconfig -p | grep -q libcuda.so.1") == 0)
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  for (const char* part : {"", "kernels", "sanitizer", "speed", "peers", "curve"}) {
    const auto run = Run(part);
    EXPECT_EQ(run.exit_code, 3) << part;
    EXPECT_EQ(run.out, "gpu-check: unavailable: no NVIDIA driver (libcuda.so.1 not found)\n")
        << part;
  }
}

TEST_F(GpuCheckScriptTest, ADriverWithoutADeviceIsUnavailableToo) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const auto run = Run("kernels --bin " DBSP_BINARY_DIR "/bin");
  EXPECT_EQ(run.exit_code, 3) << run.out;
  EXPECT_THAT(run.out, HasSubstr("sm90.block128x128.d128"));
  EXPECT_THAT(run.out, HasSubstr("gpu-check: unavailable: an NVIDIA driver"));
}

TEST_F(GpuCheckScriptTest, UnknownPartsAndMissingBinariesAreUsageErrors) {
  EXPECT_EQ(Run("everything").exit_code, 2);
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  EXPECT_EQ(Run("--bin /nowhere").exit_code, 2);
}

}  // namespace
