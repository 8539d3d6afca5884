// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_check.h"

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"

namespace dbsp::runtime {
namespace {

/// "cudaMalloc" from "cudaMalloc(&p, n)".
std::string_view NameOfCall(std::string_view text) { return text.substr(0, text.find('(')); }

std::string_view FileName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

double Gib(std::size_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0 * 1024.0); }

std::string Version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

bool IsSticky(int result) {
  switch (static_cast<cudaError_t>(result)) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorExternalDevice:
      return true;
    default:
      return false;
  }
}

void CheckCuda(int result, const char* call, const char* file, int line) {
  if (result == cudaSuccess) return;
  const auto error = static_cast<cudaError_t>(result);
  // The runtime also keeps the error for cudaGetLastError(), which must not report it after another
  // call.
  (void)cudaGetLastError();
  const std::string text = fmt::format("{}:{}: {}: {} ({}, {})",
                                       FileName(file),
                                       line,
                                       NameOfCall(call),
                                       cudaGetErrorString(error),
                                       cudaGetErrorName(error),
                                       result);
  if (!IsSticky(result)) Fail(ErrorCode::kUnavailable, "{}", text);
  std::fprintf(stderr,
               "dbsp: %s; this error loses the device context, so this process ends\n",
               text.c_str());
  std::fflush(nullptr);
  std::_Exit(ExitCode(ErrorCode::kInternal));
}

void RequireDriverFor(int driver_version, int toolkit_version) {
  if (driver_version / 1000 >= toolkit_version / 1000) return;
  Fail(ErrorCode::kUnavailable,
       "the NVIDIA driver supports CUDA {}, but this build needs CUDA {}: update the driver, or "
       "build with a CUDA {} toolkit",
       Version(driver_version),
       Version(toolkit_version),
       driver_version / 1000);
}

void FailOutOfMemory(const char* what, std::size_t asked, std::size_t free, std::size_t total) {
  Fail(ErrorCode::kUnavailable,
       "device memory: {} needs {:.2f} GiB, but {:.2f} of {:.2f} GiB are free; use a smaller shape "
       "or end other programs on the device",
       what,
       Gib(asked),
       Gib(free),
       Gib(total));
}

}  // namespace dbsp::runtime
