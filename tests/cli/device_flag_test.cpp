// SPDX-License-Identifier: Apache-2.0
// --device cuda of the tools that run on a device: exit code 3 with a message, for every kind of
// driver.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "build_config.h"
#include "core/error.h"
#include "runtime/dynamic_library.h"
#include "tests/cli/run_tool.h"
#include "tests/core/temporary_folder.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp {
namespace {

using testing::EnvironmentVariable;
using ::testing::HasSubstr;

/// Runs both tools on `device` and expects exit code 3, `words` on stderr, nothing on stdout and no
/// new file. The tools open the device before the plan and the database, so these files do not
/// exist.
void ExpectUnavailable(const std::string& device, const std::string& words) {
  const testing::TemporaryFolder folder;
  const std::string database = (folder / "p.db").string();
  const std::vector<std::pair<std::string, std::vector<std::string>>> tools = {
      {"dbsp-profile", {"--db", database, "--device", device}},
      {"dbsp-replay", {(folder / "plan.json").string(), "--db", database, "--device", device}}};
  for (const auto& [tool, arguments] : tools) {
    const testing::ToolResult run = testing::RunTool(tool, arguments);
    EXPECT_EQ(run.exit_code, 3) << tool << ": " << run.err;
    EXPECT_THAT(run.err, HasSubstr("--device " + device + ": unavailable: ")) << tool;
    EXPECT_THAT(run.err, HasSubstr(words)) << tool;
    EXPECT_EQ(run.out, "") << tool;
    EXPECT_FALSE(std::filesystem::exists(database)) << tool;
  }
}

/// `words`, or the message of a build without CUDA on a machine with a driver.
std::string WithDriver(const std::string& words) {
  return DBSP_HAVE_CUDA ? words : "this build has no CUDA";
}

TEST(DeviceFlagTest, NoDriver) {
  try {
    const runtime::DynamicLibrary driver("libcuda.so.1", "");
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  } catch (const Error&) {
  }
  ExpectUnavailable("cuda", "no NVIDIA driver (libcuda.so.1 not found)");
}

TEST(DeviceFlagTest, ADriverThatIsNoLibrary) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "libcuda.so.1") << "text";
  const auto path = testing::LibrariesFrom(folder.path().string());
  ExpectUnavailable("cuda", "libcuda.so.1 cannot be loaded");
}

TEST(DeviceFlagTest, ADriverTooOld) {
  const auto path = testing::LibrariesFrom(testing::kOldFakeLibraries);
  ExpectUnavailable("cuda", WithDriver("has no function cuDeviceTotalMem"));
}

TEST(DeviceFlagTest, ADriverThatDoesNotStart) {
  const auto path = testing::LibrariesFrom(testing::kFakeLibraries);
  const EnvironmentVariable init("DBSP_FAKE_CUDA_INIT", "803");
  ExpectUnavailable("cuda", WithDriver("the fake driver is older than its kernel module"));
}

TEST(DeviceFlagTest, ADriverThatFindsNoDevice) {
  const auto path = testing::LibrariesFrom(testing::kFakeLibraries);
  const std::string words = WithDriver("(CUDA 13.1) is installed, but it sees no device");
  ExpectUnavailable("cuda", words);  // cuInit succeeds and the count is 0
  const EnvironmentVariable init("DBSP_FAKE_CUDA_INIT", "100");  // CUDA_ERROR_NO_DEVICE
  ExpectUnavailable("cuda", words);
}

TEST(DeviceFlagTest, ADriverWithDevices) {
  const auto path = testing::LibrariesFrom(testing::kFakeLibraries);
  const EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "2");
  // The fake driver has no function that the CUDA runtime needs.
  const std::string refused = WithDriver("cudaSetDevice");
  ExpectUnavailable("cuda", refused);
  ExpectUnavailable("cuda:1", refused);
  ExpectUnavailable("cuda:2", WithDriver("no device 2; there are 2"));
}

}  // namespace
}  // namespace dbsp
