// SPDX-License-Identifier: Apache-2.0
// Operations that the 32 lanes of a warp carry out together.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "tests/gpu_emulator/barriers.h"

namespace dbsp::kernels::gpu::isa::emulator {

/// The collective operation a warp is gathering for.
struct WarpState {
  const char* operation = nullptr;
  int key = 0;  ///< what must be equal in all lanes, such as a shuffle's mask
  int arrived = 0;
  std::array<void*, 32> operands = {};
  std::uint64_t generation = 0;
  WaitList waiters;
};

/// Waits for the other lanes; the last one to come runs `all` on the operands of all 32.
void Collective(Thread& self,
                const char* operation,
                int key,
                void* operand,
                const std::function<void(const std::array<void*, 32>&)>& all);

}  // namespace dbsp::kernels::gpu::isa::emulator
