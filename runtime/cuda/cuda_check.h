// SPDX-License-Identifier: Apache-2.0
// Checks the result of every CUDA runtime call. The CUDA runtime is linked statically and opens the
// driver itself, so a program with it also starts on a machine without a driver.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::runtime {

/// Throws unless `result` (a cudaError_t) is success. An error that loses the device context
/// (IsSticky) ends the process with exit code 4 and one line on stderr, because every later call
/// would report the same error. The parent of a worker process restarts it.
/// errors  Error{kUnavailable} "event.cpp:31: cudaEventCreate: CUDA's error text (name, number)"
/// threads safe concurrently
void CheckCuda(int result, const char* call, const char* file, int line);

/// Whether the device context is lost after `result`, as after an illegal address or instruction, a
/// failed launch, an assertion or an uncorrectable memory error.
/// source  CUDA runtime reference, cudaError_t: "the only way to continue is to relaunch"
[[nodiscard]] bool IsSticky(int result);

/// Checks that the driver can run this build. A driver runs programs of toolkits with its own or an
/// earlier major version.
/// versions  as CUDA counts them, 13000 is 13.0
/// errors    Error{kUnavailable}, one line naming both versions and the remedy, when the driver's
///           major version is below the toolkit's
void RequireDriverFor(int driver_version, int toolkit_version);

/// Throws Error{kUnavailable} with the requested and the free memory.
[[noreturn]] void FailOutOfMemory(const char* what,
                                  std::size_t asked,
                                  std::size_t free,
                                  std::size_t total);

}  // namespace dbsp::runtime

/// DBSP_CUDA(cudaMalloc(&p, n)); in sources that include <cuda_runtime.h>.
#define DBSP_CUDA(call) ::dbsp::runtime::CheckCuda((call), #call, __FILE__, __LINE__)
