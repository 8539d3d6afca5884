// SPDX-License-Identifier: Apache-2.0
// State of the operations that the 32 lanes of a warp carry out together.
#pragma once

#include <array>
#include <cstdint>

#include "tests/gpu_emulator/barrier_state.h"

namespace dbsp::kernels::gpu::isa::emulator {

/// The collective operation that some lanes of a warp have started.
struct WarpState {
  const char* operation = nullptr;
  int key = 0;  ///< argument that must be equal in all lanes, such as the mask of a shuffle
  int arrived = 0;  ///< lanes
  std::array<void*, 32> operands = {};
  std::uint64_t generation = 0;
  WaitList waiters;
};

}  // namespace dbsp::kernels::gpu::isa::emulator
