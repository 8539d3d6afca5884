// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/launch.h"

#include "core/error.h"

namespace dbsp::kernels::gpu {

void FailLaunch(const char* kernel, const char* text) {
  Fail(ErrorCode::kUnavailable, "CUDA kernel {}: {}", kernel, text);
}

}  // namespace dbsp::kernels::gpu
