// SPDX-License-Identifier: Apache-2.0
// What every CUDA runtime call goes through. The CUDA runtime is linked statically and opens the
// driver by itself, so this builds and starts where no driver is.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dbsp::runtime {

/// Does nothing when `result` (a cudaError_t) is success. An error that loses the device context
/// (IsSticky) ends the process with exit code 4 and one line on stderr, because every later call
/// would report that same error; a worker is restarted by whoever started it.
/// errors  Error{kUnavailable} "event.cpp:31: cudaEventCreate: CUDA's words (name, number)"
/// threads safe concurrently
void CheckCuda(int result, const char* call, const char* file, int line);

/// Whether the device context is lost after `result`: illegal address or instruction, failed
/// launch, assertion, uncorrectable memory error and their kin.
/// source  CUDA runtime reference, cudaError_t: "the only way to continue is to relaunch"
[[nodiscard]] bool IsSticky(int result);

/// A driver runs what any toolkit of its own or an earlier major version made.
/// versions  as CUDA counts them, 13000 is 13.0
/// errors    Error{kUnavailable}, one line naming both versions and the remedy, when the driver's
///           major version is below the toolkit's
void RequireDriverFor(int driver_version, int toolkit_version);

/// Throws Error{kUnavailable}: how much was asked and for what, how much is free. What the caller
/// holds is freed as the error unwinds.
[[noreturn]] void FailOutOfMemory(const char* what,
                                  std::size_t asked,
                                  std::size_t free,
                                  std::size_t total);

}  // namespace dbsp::runtime

/// DBSP_CUDA(cudaMalloc(&p, n)); in sources that include <cuda_runtime.h>.
#define DBSP_CUDA(call) ::dbsp::runtime::CheckCuda((call), #call, __FILE__, __LINE__)
