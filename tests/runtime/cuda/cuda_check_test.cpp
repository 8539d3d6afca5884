// SPDX-License-Identifier: Apache-2.0
// Handling of CUDA's errors. CUDA's error texts need no device.
#include "runtime/cuda/cuda_check.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "core/error.h"
#include "tests/core/expect_error.h"

namespace dbsp::runtime {
namespace {

using dbsp::testing::ExpectError;

TEST(CudaCheckTest, AnErrorHasCallPlaceAndText) {
  EXPECT_NO_THROW(CheckCuda(cudaSuccess, "cudaMalloc(&p, n)", "/a/b/x.cpp", 7));
  ExpectError(
      ErrorCode::kUnavailable,
      {"x.cpp:7: cudaMemcpyAsync: invalid argument (cudaErrorInvalidValue, 1)"},
      [] { CheckCuda(cudaErrorInvalidValue, "cudaMemcpyAsync(to, f(x), n)", "/a/b/x.cpp", 7); });
}

TEST(CudaCheckTest, TheMacroNamesTheCallItWraps) {
  ExpectError(ErrorCode::kUnavailable, {"cuda_check_test.cpp:", ": some_call: "}, [] {
    const auto some_call = [](int) { return cudaErrorNotSupported; };
    DBSP_CUDA(some_call(3));
  });
}

TEST(CudaCheckDeathTest, AnErrorThatLosesTheContextEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const cudaError_t error : {cudaErrorIllegalAddress,
                                  cudaErrorLaunchFailure,
                                  cudaErrorMisalignedAddress,
                                  cudaErrorAssert,
                                  cudaErrorIllegalInstruction}) {
    EXPECT_EXIT(
        CheckCuda(error, "cudaEventSynchronize(e)", "event.cpp", 31),
        ::testing::ExitedWithCode(4),
        "^dbsp: event.cpp:31: cudaEventSynchronize: .*; this error loses the device context");
  }
}

TEST(CudaCheckTest, OtherErrorsDoNotEndTheProcess) {
  for (const cudaError_t error : {cudaErrorMemoryAllocation,
                                  cudaErrorInvalidValue,
                                  cudaErrorNoDevice,
                                  cudaErrorInvalidConfiguration,
                                  cudaErrorInsufficientDriver,
                                  cudaErrorLaunchOutOfResources,
                                  cudaErrorNotReady}) {
    EXPECT_FALSE(IsSticky(error)) << cudaGetErrorName(error);
  }
}

TEST(CudaCheckTest, ADriverRunsToolkitsOfItsMajorVersionAndOlder) {
  EXPECT_NO_THROW(RequireDriverFor(13000, 13010));
  EXPECT_NO_THROW(RequireDriverFor(13010, 13000));
  EXPECT_NO_THROW(RequireDriverFor(14000, 13000));
  ExpectError(ErrorCode::kUnavailable, {"driver supports CUDA 12.8", "needs CUDA 13.1"}, [] {
    RequireDriverFor(12080, 13010);
  });
}

TEST(CudaCheckTest, AMemoryShortageReportsRequestedAndFreeMemory) {
  const auto gib = [](double n) { return static_cast<std::size_t>(n * 1024 * 1024 * 1024); };
  ExpectError(ErrorCode::kUnavailable,
              {"device memory: keys needs 12.50 GiB, but 3.25 of 139.75 GiB are free"},
              [&] { FailOutOfMemory("keys", gib(12.5), gib(3.25), gib(139.75)); });
}

}  // namespace
}  // namespace dbsp::runtime
