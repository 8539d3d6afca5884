// SPDX-License-Identifier: Apache-2.0
// The stubs of the vendor libraries, which this test always compiles.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "core/error.h"
#include "runtime/cuda/cuda_buffer.h"
#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/cuda_event.h"
#include "runtime/cuda/cuda_stream.h"
#include "runtime/cupti/cupti_activity.h"
#include "runtime/cupti/cupti_counters.h"
#include "runtime/cupti/cupti_library.h"
#include "runtime/nccl/nccl_communicator.h"
#include "runtime/nccl/nccl_library.h"
#include "runtime/nvml/gpu_facts.h"
#include "runtime/nvml/nvml_gpm.h"
#include "runtime/nvml/nvml_library.h"
#include "tests/core/expect_error.h"
#include "tests/runtime/fake_vendor.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::ExpectError;
using dbsp::testing::FakeLibrary;

TEST(VendorStubTest, ReportsTheReasonWhateverIsInstalled) {
  ExpectError(ErrorCode::kUnavailable, {"NCCL: unavailable: not built: a reason of the test"}, [] {
    (void)NcclLibrary::Load(FakeLibrary("libnccl.so.2"));
  });
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: unavailable: not built: a reason of the test"}, [] {
    (void)CuptiLibrary::Load(FakeLibrary("libcupti.so.13"));
  });
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: unavailable: not built: a reason of the test"}, [] {
    (void)ActivityDecoder::Load(FakeLibrary("libcupti.so.13"));
  });
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: unavailable: not built: a reason of the test"}, [] {
    (void)ActivitySession::Start();
  });
  ExpectError(ErrorCode::kUnavailable, {"NVML: unavailable: not built: a reason of the test"}, [] {
    (void)NvmlLibrary::Load(FakeLibrary("libnvidia-ml.so.1"));
  });
}

TEST(VendorStubTest, DistinguishesAMissingDriverFromABuildWithoutCuda) {
  ExpectError(ErrorCode::kUnavailable, {"no NVIDIA driver (libnowhere.so.9 not found)"}, [] {
    (void)CudaDriver::Load("libnowhere.so.9");
  });
  ExpectError(ErrorCode::kUnavailable, {"this build has no CUDA", "DBSP_ENABLE_CUDA=ON"}, [] {
    (void)CudaDriver::Load(FakeLibrary("libcuda.so.1"));
  });
}

TEST(VendorStubTest, NoCudaObjectCanBeMade) {
  const auto refused = [](const std::function<void()>& make) {
    ExpectError(ErrorCode::kUnavailable, {"this build has no CUDA (a reason of the test)"}, make);
  };
  refused([] { const CudaStream stream; });
  refused([] { const CudaEvent event; });
  refused([] { const CudaBuffer buffer(16, "keys"); });
  refused([] { const CudaPinned memory(16, "keys"); });
  refused([] { (void)CudaMemory(); });
  refused([] { CheckCuda(2, "cudaMalloc(&p, n)", "x.cpp", 1); });
  EXPECT_NO_THROW(CheckCuda(0, "cudaMalloc(&p, n)", "x.cpp", 1));
}

TEST(VendorStubTest, CountersFactsAndExchangesReportTheReason) {
  const std::string why = "unavailable: not built: a reason of the test";
  ExpectError(ErrorCode::kUnavailable, {"NCCL: ", why}, [] { (void)NcclCommunicator::MakeId(); });
  ExpectError(
      ErrorCode::kUnavailable, {"NCCL: ", why}, [] { (void)NcclCommunicator::Join({}, 0, 1, {}); });
  ExpectError(ErrorCode::kUnavailable, {"NCCL: ", why}, [] { RunNcclRanks(1, {}, {}, {}); });
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: ", why}, [] { (void)CounterHost::Load(); });
  ExpectError(ErrorCode::kUnavailable, {"CUPTI: ", why}, [] { (void)RangeProfiler::Start({}); });
  ExpectError(ErrorCode::kUnavailable, {"NVML: ", why}, [] { (void)GpuFacts("0000:17:00.0"); });
  ExpectError(ErrorCode::kUnavailable, {"NVML: ", why}, [] { (void)GpuLinks({}); });
  ExpectError(
      ErrorCode::kUnavailable, {"NVML: ", why}, [] { (void)MeasureGpm("0000:17:00.0", [] {}); });
}

TEST(VendorStubTest, HasNoVersion) {
  EXPECT_EQ(CudaDriver::HeaderVersion(), std::nullopt);
  EXPECT_EQ(CuptiLibrary::HeaderVersion(), std::nullopt);
  EXPECT_EQ(CudaDriver::InstalledVersion(FakeLibrary("libcuda.so.1")), std::nullopt);
  EXPECT_EQ(NcclLibrary::InstalledVersion(FakeLibrary("libnccl.so.2")), std::nullopt);
  EXPECT_EQ(NcclLibrary::HeaderVersion(), std::nullopt);
  EXPECT_EQ(CuptiLibrary::InstalledVersion(FakeLibrary("libcupti.so.13")), std::nullopt);
  EXPECT_EQ(NvmlLibrary::InstalledVersion(FakeLibrary("libnvidia-ml.so.1")), std::nullopt);
}

}  // namespace
}  // namespace dbsp::runtime
