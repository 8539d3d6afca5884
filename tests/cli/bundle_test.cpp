// SPDX-License-Identifier: Apache-2.0
// scripts/bundle: the folder of tools for machines without dbsp's packages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_paths.h"
#include "tests/cli/run_tool.h"

namespace {

using dbsp::testing::FileText;
using dbsp::testing::ShellQuote;
using dbsp::testing::TemporaryFolder;
using ::testing::HasSubstr;

int RunCommand(const std::string& command, const TemporaryFolder& folder) {
  const int status =
      std::system((command + " </dev/null >" + (folder / "words").string() + " 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

const std::string kScript = DBSP_SOURCE_DIR "/scripts/bundle ";

TEST(BundleTest, ToolsRunFromItWithItsLibraries) {
  const TemporaryFolder folder;
  const std::string out = (folder / "taken along").string();
  ASSERT_EQ(RunCommand(kScript + "--build " DBSP_BINARY_DIR " " + ShellQuote(out), folder), 0)
      << FileText(folder / "words");
  const std::string workload = (folder / "w.json").string();
  EXPECT_EQ(RunCommand("env -i LD_DEBUG=libs " + ShellQuote(out + "/bin/dbsp-workload") +
                           " make --model wan2.1-t2v-14b-720p --mask dense -o " + workload,
                       folder),
            0)
      << FileText(folder / "words");
  EXPECT_TRUE(std::filesystem::exists(workload));
  EXPECT_THAT(FileText(folder / "words"), HasSubstr("calling init: " + out + "/bin/../lib/libfmt"));
}

TEST(BundleTest, BadUseIsOneLine) {
  const TemporaryFolder folder;
  EXPECT_EQ(RunCommand(kScript, folder), 2);
  EXPECT_EQ(RunCommand(kScript + "--bild x y", folder), 2);
  EXPECT_EQ(
      RunCommand(kScript + "--build " + (folder / "no").string() + " " + (folder / "o").string(),
                 folder),
      1);
  EXPECT_THAT(FileText(folder / "words"), HasSubstr("no/bin/dbsp-workload is missing; build it"));
}

}  // namespace
