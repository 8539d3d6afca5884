// SPDX-License-Identifier: Apache-2.0
// DBSP_EMULATED_WRONG makes every attention kernel of the emulated gpu_check compute something
// wrong.
#include <cstdlib>

#include "tests/emulated_gpu/emulated_gpu.h"

namespace {

const bool g_broken = [] {
  const bool broken = std::getenv("DBSP_EMULATED_WRONG") != nullptr;
  if (broken) dbsp::emulated_gpu::BreakAttention(1000.0F);
  return broken;
}();

}  // namespace
