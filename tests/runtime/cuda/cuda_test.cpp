// SPDX-License-Identifier: Apache-2.0
// Opening a device with every kind of driver that does not work, and UniqueHandle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "build_config.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/unique_handle.h"
#include "tests/cli/run_tool.h"
#include "tests/runtime/environment_variable.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::RunTool;
using ::testing::HasSubstr;

std::vector<int>& Closed() {
  static std::vector<int> closed;
  return closed;
}

struct CountingTraits {
  using Type = int;
  static constexpr Type kNull = -1;
  static void Close(Type value) noexcept { Closed().push_back(value); }
};
using Handle = UniqueHandle<CountingTraits>;

TEST(UniqueHandleTest, ClosesItsHandleOnce) {
  Closed().clear();
  {
    const Handle nothing;
    EXPECT_FALSE(nothing);
    Handle one(1);
    Handle moved(std::move(one));
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): a moved-from handle is empty by contract
    EXPECT_EQ(moved.get(), 1);
    Handle two(2);
    two = std::move(moved);
    EXPECT_EQ(Closed(), std::vector<int>{2}) << "assignment closes the previous handle";
    two.Reset(3);
    EXPECT_EQ(two.Release(), 3);
    Handle zero(0);
    EXPECT_TRUE(zero) << "the traits define the null value";
  }
  EXPECT_EQ(Closed(), (std::vector<int>{2, 1, 0}));
}

#if DBSP_HAVE_CUDA
TEST(OpenCudaDeviceTest, ADriverOlderThanTheToolkitIsOneLine) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const EnvironmentVariable version("DBSP_FAKE_CUDA_VERSION", "11080");
  const EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "1");
  const auto run = RunTool("runtime_open_cuda_device", {});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.err,
              HasSubstr("the NVIDIA driver supports CUDA 11.8, but this build needs CUDA "));
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1);
}

TEST(OpenCudaDeviceTest, AMissingDeviceIsReported) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const auto none = RunTool("runtime_open_cuda_device", {});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("sees no device"));
  const EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "2");
  const auto third = RunTool("runtime_open_cuda_device", {"2"});
  EXPECT_EQ(third.exit_code, 3);
  EXPECT_THAT(third.err, HasSubstr("no device 2; there are 2"));
}

TEST(OpenCudaDeviceTest, ADriverWithoutMostFunctionsIsReported) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "1");
  const auto run = RunTool("runtime_open_cuda_device", {});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_THAT(run.err, HasSubstr("cuda_device.cpp:"));
  EXPECT_THAT(run.err, HasSubstr("cudaSetDevice: "));
}
#else
TEST(OpenCudaDeviceTest, ABuildWithoutCudaReportsIt) {
  const auto path = dbsp::testing::LibrariesFrom(dbsp::testing::kFakeLibraries);
  const auto run = RunTool("runtime_open_cuda_device", {});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.err, HasSubstr("this build has no CUDA"));
}
#endif

TEST(OpenCudaDeviceTest, AMissingDriverIsReported) {
  const auto run = RunTool("runtime_open_cuda_device", {});
  if (run.exit_code == 0) GTEST_SKIP() << "this machine has an NVIDIA driver";
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.err, ::testing::Not(HasSubstr("internal")));
  if (std::system("ldconfig -p | grep -q libcuda.so.1") != 0) {
    EXPECT_EQ(run.err, "no NVIDIA driver (libcuda.so.1 not found)\n");
  }
}

}  // namespace
}  // namespace dbsp::runtime
