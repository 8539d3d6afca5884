// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/device_wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "test_paths.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/environment_variable.h"

namespace dbsp::runtime {
namespace {

using testing::EnvironmentVariable;

TEST(DeviceWaitTest, WorkIsAskedForUntilItIsDone) {
  int asked = 0;
  WaitForDevice([&] { return ++asked == 5; }, "work");
  EXPECT_EQ(asked, 5);
}

TEST(DeviceWaitTest, AnErrorOfTheQuestionEndsTheWait) {
  EXPECT_THROW(WaitForDevice([]() -> bool { Fail(ErrorCode::kUnavailable, "lost"); }, "work"),
               Error);
}

TEST(DeviceWaitDeathTest, WorkThatNeverEndsEndsTheProcessAndIsNamed) {
  const EnvironmentVariable deadline(kDeviceDeadlineVariable, "1");
  EXPECT_EXIT(WaitForDevice([] { return false; }, "sm90.block64x64.d64"),
              ::testing::ExitedWithCode(4),
              "^dbsp: sm90.block64x64.d64: not done on the device after 1 s");
}

TEST(DeviceWaitTest, TheVariableSetsTheDeadlineInWholeSeconds) {
  EXPECT_EQ(DeviceDeadlineNs(), 120'000'000'000);
  const EnvironmentVariable deadline(kDeviceDeadlineVariable, "8");
  EXPECT_EQ(DeviceDeadlineNs(), 8'000'000'000);
  for (const char* wrong : {"", "0", "-1", "1.5", "8s", " 8", "86401", "99999999999999999999"}) {
    const EnvironmentVariable bad(kDeviceDeadlineVariable, wrong);
    dbsp::testing::ExpectError(ErrorCode::kInvalidArgument,
                               {"DBSP_DEVICE_DEADLINE_S: expected whole seconds", wrong},
                               [] { (void)DeviceDeadlineNs(); });
  }
}

/// A bare synchronisation waits for ever for a kernel that hangs. Only device_wait.h waits.
TEST(DeviceWaitTest, NoSourceWaitsForADeviceWithoutADeadline) {
  const std::vector<std::string> bare{"cudaDeviceSynchronize(",
                                      "cudaStreamSynchronize(",
                                      "cudaEventSynchronize(",
                                      "cuCtxSynchronize(",
                                      "cuStreamSynchronize(",
                                      "torch.cuda.synchronize("};
  int files = 0;
  for (const char* folder : {"runtime", "kernels", "profiler", "replay", "bench"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(
             std::filesystem::path(DBSP_SOURCE_DIR) / folder)) {
      if (!entry.is_regular_file()) continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      ++files;
      for (std::string line; std::getline(text, line);) {
        if (line.starts_with("//")) continue;
        for (const std::string& call : bare) {
          EXPECT_EQ(line.find(call), std::string::npos) << entry.path() << ": " << line;
        }
      }
    }
  }
  EXPECT_GT(files, 100);
}

}  // namespace
}  // namespace dbsp::runtime
