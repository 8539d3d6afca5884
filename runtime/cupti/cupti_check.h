// SPDX-License-Identifier: Apache-2.0
// Error texts for CUPTI's results, for the sources in runtime/ that include cupti.h.
#pragma once

#include <cupti.h>

#include "core/error.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime::internal {

/// Opens CUPTI. errors as CuptiLibrary::Load
inline DynamicLibrary OpenCupti(const std::string& name) {
  return DynamicLibrary::Search(
      name,
      "CUPTI: unavailable",
      "install CUDA 13's CUPTI (pip install nvidia-cuda-cupti) or put its folder on "
      "DBSP_LIBRARY_PATH");
}

/// What the user can do about a result; "" when nothing.
inline const char* CuptiRemedy(CUptiResult result) {
  switch (result) {
    case CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED:
      return "; another profiler (nsys, ncu, cuda-gdb or a library that uses CUPTI) is attached to "
             "this process: run without it";
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
      return "; only administrators may read counters on this machine: run with CAP_SYS_ADMIN or "
             "load the driver with NVreg_RestrictProfilingToAdminUsers=0";
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
      return "; the host of this virtual machine does not allow profiling";
    default:
      return "";
  }
}

/// errors  Error{kUnavailable} with the call and CUPTI's error text, unless `result` is success
inline void CheckCupti(CUptiResult result,
                       decltype(::cuptiGetResultString)* text_of,
                       const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* text = nullptr;
  if (text_of(result, &text) != CUPTI_SUCCESS || text == nullptr) text = "unknown error";
  Fail(ErrorCode::kUnavailable,
       "CUPTI: unavailable: {}: {} (CUPTI error {}){}",
       call,
       text,
       static_cast<int>(result),
       CuptiRemedy(result));
}

}  // namespace dbsp::runtime::internal
