// SPDX-License-Identifier: Apache-2.0
// With the environment variable DBSP_EMULATED_WRONG every attention kernel of the emulated
// gpu_check computes wrong results.
#include <cstdlib>

#include "tests/emulated_gpu/emulated_gpu.h"

namespace {

const bool g_broken = [] {
  const bool broken = std::getenv("DBSP_EMULATED_WRONG") != nullptr;
  if (broken) dbsp::emulated_gpu::BreakAttention(1000.0F);
  return broken;
}();

}  // namespace
