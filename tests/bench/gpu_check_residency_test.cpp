// SPDX-License-Identifier: Apache-2.0
// gpu_check finds a kernel whose thread blocks do not share an SM as designed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "test_paths.h"
#include "tests/cli/run_tool.h"
#include "tests/runtime/environment_variable.h"

namespace {

using ::testing::HasSubstr;

TEST(GpuCheckResidencyTest, AKernelThatHasAnSmToItselfButShouldShareItIsWrong) {
  const dbsp::testing::EnvironmentVariable one("DBSP_EMULATED_ONE_BLOCK", "1");
  const dbsp::testing::TemporaryFolder folder;
  const std::string out = (folder / "out").string();
  const std::string words = (folder / "words").string();
  const int status =
      std::system((std::string(DBSP_BINARY_DIR "/emulated/gpu_check correct "
                                               "--filter sm90.gather64.d64 --budget 1 --out ") +
                   out + " >" + words + " 2>&1")
                      .c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(dbsp::testing::FileText(words),
              HasSubstr("wrong: sm90.gather64.d64.residency, case 0: 1 of 2 thread blocks fit an "
                        "SM at the same time"));
}

}  // namespace
