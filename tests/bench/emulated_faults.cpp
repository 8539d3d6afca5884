// SPDX-License-Identifier: Apache-2.0
// With the environment variable DBSP_EMULATED_WRONG every attention kernel of the emulated
// gpu_check computes wrong results. With DBSP_EMULATED_ONE_BLOCK one thread block fits an SM.
#include <cstdlib>

#include "tests/emulated_gpu/emulated_gpu.h"

namespace {

const bool g_broken = [] {
  const bool broken = std::getenv("DBSP_EMULATED_WRONG") != nullptr;
  if (broken) dbsp::emulated_gpu::BreakAttention(1000.0F);
  return broken;
}();
const bool g_one_block = [] {
  const bool one = std::getenv("DBSP_EMULATED_ONE_BLOCK") != nullptr;
  if (one) dbsp::emulated_gpu::FitOneBlockPerSm();
  return one;
}();

}  // namespace
