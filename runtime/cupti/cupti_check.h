// SPDX-License-Identifier: Apache-2.0
// CUPTI's results in words, for the sources in runtime/ that include cupti.h.
#pragma once

#include <cupti.h>

#include "core/error.h"
#include "runtime/dynamic_library.h"

namespace dbsp::runtime::internal {

/// CUPTI opened for one group of functions; errors as CuptiLibrary::Load.
inline DynamicLibrary OpenCupti(const std::string& name) {
  return DynamicLibrary(
      name, "CUPTI: unavailable", "install CUDA 13's CUPTI or put its folder on LD_LIBRARY_PATH");
}

/// What to do about the results that a user can do something about; "" for the others.
inline const char* CuptiRemedy(CUptiResult result) {
  switch (result) {
    case CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED:
      return "; another profiler (nsys, ncu, cuda-gdb or a library that uses CUPTI) is attached to "
             "this process: run without it";
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
      return "; counters are for administrators on this machine: run with CAP_SYS_ADMIN or load "
             "the "
             "driver with NVreg_RestrictProfilingToAdminUsers=0";
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
      return "; the host of this virtual machine does not allow profiling";
    default:
      return "";
  }
}

/// errors  Error{kUnavailable} naming the call, with CUPTI's own words, unless it succeeded
inline void CheckCupti(CUptiResult result,
                       decltype(::cuptiGetResultString)* words_of,
                       const char* call) {
  if (result == CUPTI_SUCCESS) return;
  const char* words = nullptr;
  if (words_of(result, &words) != CUPTI_SUCCESS || words == nullptr) words = "unknown error";
  Fail(ErrorCode::kUnavailable,
       "CUPTI: unavailable: {}: {} (CUPTI error {}){}",
       call,
       words,
       static_cast<int>(result),
       CuptiRemedy(result));
}

}  // namespace dbsp::runtime::internal
