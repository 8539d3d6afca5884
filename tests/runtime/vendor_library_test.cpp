// SPDX-License-Identifier: Apache-2.0
// The loaders of vendor libraries, with fake libraries.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "build_config.h"
#include "core/error.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cupti/cupti_library.h"
#include "runtime/dynamic_library.h"
#include "runtime/nccl/nccl_library.h"
#include "runtime/nvml/nvml_library.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::EnvironmentVariable;
using dbsp::testing::ExpectError;
using dbsp::testing::FakeLibrary;
using dbsp::testing::OldFakeLibrary;

constexpr const char* kNotBuilt = "unavailable: not built: ";

TEST(DynamicLibraryTest, StaysLoadedAfterItsObject) {
  const std::string name = FakeLibrary("libnvidia-ml.so.1");
  { const DynamicLibrary library(name, "unavailable"); }
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_NOLOAD);
  EXPECT_NE(handle, nullptr);
  if (handle != nullptr) dlclose(handle);
}

class CudaDriverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_CUDA) GTEST_SKIP() << "this build has no CUDA";
  }
  const std::string library_ = FakeLibrary("libcuda.so.1");
};

TEST_F(CudaDriverTest, VersionAndDevicesAreThoseOfTheDriver) {
  const EnvironmentVariable devices("DBSP_FAKE_CUDA_DEVICES", "2");
  const CudaDriver driver = CudaDriver::Load(library_);
  EXPECT_EQ(driver.version(), "13.1");
  EXPECT_EQ(driver.device_count(), 2);
  EXPECT_EQ(driver.device_name(1), "Fake GPU");
  EXPECT_EQ(driver.device_uuid(1), "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f");
  EXPECT_EQ(driver.device_memory_bytes(0), std::int64_t{80} << 30);
}

TEST_F(CudaDriverTest, KernelsAreLoadedBeforeAnyLaunch) {
  (void)CudaDriver::Load(library_);
  const char* loading = std::getenv("CUDA_MODULE_LOADING");
  ASSERT_NE(loading, nullptr);
  EXPECT_STREQ(loading, "EAGER");
}

TEST_F(CudaDriverTest, NoDeviceIsNoError) {
  const EnvironmentVariable init("DBSP_FAKE_CUDA_INIT", "100");
  EXPECT_EQ(CudaDriver::Load(library_).device_count(), 0);
}

TEST_F(CudaDriverTest, ADriverThatDoesNotStartGivesItsErrorText) {
  const EnvironmentVariable init("DBSP_FAKE_CUDA_INIT", "803");
  ExpectError(ErrorCode::kUnavailable,
              {"cuInit", "the fake driver is older than its kernel module", "803"},
              [&] { (void)CudaDriver::Load(library_); });
  // The version is available without starting the driver.
  EXPECT_EQ(CudaDriver::InstalledVersion(library_), "13.1");
}

TEST_F(CudaDriverTest, AMissingFunctionIsNamed) {
  ExpectError(ErrorCode::kUnavailable, {"libcuda.so.1", "cuDeviceTotalMem"}, [] {
    (void)CudaDriver::Load(OldFakeLibrary("libcuda.so.1"));
  });
}

TEST(VendorLibraryTest, AbsentLibrariesHaveNoVersion) {
  EXPECT_EQ(CudaDriver::InstalledVersion("libnowhere.so.9"), std::nullopt);
  EXPECT_EQ(NcclLibrary::InstalledVersion("libnowhere.so.9"), std::nullopt);
  EXPECT_EQ(CuptiLibrary::InstalledVersion("libnowhere.so.9"), std::nullopt);
  EXPECT_EQ(NvmlLibrary::InstalledVersion("libnowhere.so.9"), std::nullopt);
}

TEST(VendorLibraryTest, AMissingLibraryIsReportedWithTheRemedy) {
  const std::string absent = "unavailable: libnowhere.so.9 not found (looked in the loader's path,";
  const std::string nccl = DBSP_HAVE_NCCL ? absent : kNotBuilt;
  ExpectError(ErrorCode::kUnavailable, {"NCCL: ", nccl}, [] {
    (void)NcclLibrary::Load("libnowhere.so.9");
  });
  const std::string cupti = DBSP_HAVE_CUPTI ? absent : kNotBuilt;
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: ", cupti}, [] {
    (void)CuptiLibrary::Load("libnowhere.so.9");
  });
  const std::string nvml = DBSP_HAVE_NVML ? absent : kNotBuilt;
  ExpectError(ErrorCode::kUnavailable, {"NVML: ", nvml}, [] {
    (void)NvmlLibrary::Load("libnowhere.so.9");
  });
}

class NcclLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NCCL) GTEST_SKIP() << "this build has no NCCL";
  }
  const std::string library_ = FakeLibrary("libnccl.so.2");
};

TEST_F(NcclLibraryTest, BothFormatsOfTheVersionCodeAreRead) {
  EXPECT_EQ(NcclLibrary::Load(library_).version(), "2.23.7");
  EXPECT_EQ(NcclLibrary::InstalledVersion(library_), "2.23.7");
  const EnvironmentVariable code("DBSP_FAKE_NCCL_VERSION", "2804");
  EXPECT_EQ(NcclLibrary::InstalledVersion(library_), "2.8.4");
  ASSERT_TRUE(NcclLibrary::HeaderVersion().has_value());
  EXPECT_THAT(*NcclLibrary::HeaderVersion(), ::testing::MatchesRegex("2\\.[0-9]+\\.[0-9]+"));
}

TEST_F(NcclLibraryTest, AFailureHasTheLibrarysErrorText) {
  const EnvironmentVariable result("DBSP_FAKE_NCCL_RESULT", "2");
  const NcclLibrary nccl = NcclLibrary::Load(library_);
  ExpectError(ErrorCode::kUnavailable,
              {"NCCL: unavailable: ncclGetVersion: the fake NCCL has a system error"},
              [&] { (void)nccl.version(); });
  EXPECT_EQ(NcclLibrary::InstalledVersion(library_), std::nullopt);
}

TEST_F(NcclLibraryTest, AMissingFunctionIsNamed) {
  ExpectError(ErrorCode::kUnavailable, {"libnccl.so.2", "ncclGetErrorString"}, [] {
    (void)NcclLibrary::Load(OldFakeLibrary("libnccl.so.2"));
  });
}

class CuptiLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_CUPTI) GTEST_SKIP() << "this build has no CUPTI";
  }
  const std::string library_ = FakeLibrary("libcupti.so.13");
};

TEST_F(CuptiLibraryTest, TheVersionIsRead) {
  EXPECT_EQ(CuptiLibrary::Load(library_).version(), "13.1.2");
  EXPECT_EQ(CuptiLibrary::InstalledVersion(library_), "13.1.2");
}

TEST_F(CuptiLibraryTest, AFailureHasTheLibrarysErrorText) {
  const CuptiLibrary cupti = CuptiLibrary::Load(library_);
  {
    const EnvironmentVariable result("DBSP_FAKE_CUPTI_RESULT", "15");
    ExpectError(ErrorCode::kUnavailable,
                {"CUPTI: unavailable: cuptiGetVersion: FAKE_CUPTI_NOT_INITIALIZED", "15"},
                [&] { (void)cupti.version(); });
  }
  const EnvironmentVariable result("DBSP_FAKE_CUPTI_RESULT", "999");
  ExpectError(ErrorCode::kUnavailable, {"unknown error", "999"}, [&] { (void)cupti.version(); });
}

TEST_F(CuptiLibraryTest, AMissingFunctionIsNamed) {
  ExpectError(ErrorCode::kUnavailable, {"libcupti.so.13", "cuptiGetResultString"}, [] {
    (void)CuptiLibrary::Load(OldFakeLibrary("libcupti.so.13"));
  });
}

class NvmlLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!DBSP_HAVE_NVML) GTEST_SKIP() << "this build has no NVML";
  }
  const std::string library_ = FakeLibrary("libnvidia-ml.so.1");
};

TEST_F(NvmlLibraryTest, IsStartedOnceAndShutDownWithTheObject) {
  const DynamicLibrary fake(library_, "no fake");
  const auto starts = fake.Get<int()>("FakeNvmlStarts");
  EXPECT_EQ(starts(), 0);
  {
    NvmlLibrary first = NvmlLibrary::Load(library_);
    const NvmlLibrary nvml = std::move(first);
    EXPECT_EQ(starts(), 1);
    EXPECT_EQ(nvml.driver_version(), "580.12.34");
    EXPECT_EQ(nvml.device_count(), 3);
  }
  EXPECT_EQ(starts(), 0);
  EXPECT_EQ(NvmlLibrary::InstalledVersion(library_), "580.12.34");
  EXPECT_EQ(starts(), 0);
}

TEST_F(NvmlLibraryTest, AFailureToStartHasTheErrorTextAndLeavesNothingStarted) {
  const EnvironmentVariable result("DBSP_FAKE_NVML_INIT", "18");
  const DynamicLibrary fake(library_, "no fake");
  ExpectError(
      ErrorCode::kUnavailable,
      {"NVML: unavailable: nvmlInit_v2: the fake library is newer than its driver (NVML error 18)"},
      [&] { (void)NvmlLibrary::Load(library_); });
  EXPECT_EQ(fake.Get<int()>("FakeNvmlStarts")(), 0);
  EXPECT_EQ(NvmlLibrary::InstalledVersion(library_), std::nullopt);
}

TEST_F(NvmlLibraryTest, AMissingFunctionIsNamed) {
  ExpectError(ErrorCode::kUnavailable, {"libnvidia-ml.so.1", "nvmlDeviceGetCount_v2"}, [] {
    (void)NvmlLibrary::Load(OldFakeLibrary("libnvidia-ml.so.1"));
  });
}

}  // namespace
}  // namespace dbsp::runtime
